// Batch norm by the batch's statistics, then ReLU, on channels-last tensors of the CPU: checks, threads, and what is computed once a
// channel. The loops are in norm_relu_kernels.cpp, compiled for several instruction sets; the best one is chosen at run time.
//
// With n rows (pixels), mean μ, s = 1/√(variance + ε), ẑ = (z − μ)·s, y = max(0, γ·ẑ + β) and sums over the rows of a channel:
//   cotangent  dz = γ·s·(g − Σg/n − ẑ·Σ(g·ẑ)/n), dγ = Σ g·ẑ, dβ = Σ g, with g = ∂/∂y where y > 0
//   tangent    ẏ  = γ·s·(ż − Σż/n − ẑ·Σ(ż·ẑ)/n) + γ̇·ẑ + β̇ where y > 0
#include "norm_relu_kernels.h"
#include "shim.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>

using at::Tensor;

namespace {

constexpr int64_t kBlockElements = 1 << 14;  // of one turn of a thread: what sums up to what does not depend on the number of threads
constexpr int64_t kVector = 16;

// --- Instruction sets ---

enum Instructions { kPortable, kAvx2, kAvx512 };

bool available(int instructions) {
#ifdef IMTA_X86
  if (instructions == kAvx512)
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  if (instructions == kAvx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
  return instructions == kPortable;
}

int best() { return available(kAvx512) ? kAvx512 : available(kAvx2) ? kAvx2 : kPortable; }

std::atomic<int>& chosen() {
  static std::atomic<int> instructions{best()};
  return instructions;
}

const imta::KernelSet& kernel_set() {
#ifdef IMTA_X86
  if (chosen() == kAvx512) return imta::avx512::kernels;
  if (chosen() == kAvx2) return imta::avx2::kernels;
#endif
  return imta::portable::kernels;
}

template <typename T>
const imta::NormReluKernels<T>& kernels();
template <>
const imta::NormReluKernels<float>& kernels() { return kernel_set().f32; }
template <>
const imta::NormReluKernels<double>& kernels() { return kernel_set().f64; }

// --- Tensors as rows of channels ---

struct Rows {
  void* data = nullptr;
  int64_t count = 0, channels = 0, stride = 0;

  template <typename T>
  T* at(int64_t row) const { return static_cast<T*>(data) + row * stride; }
  bool dense() const { return stride == channels; }
};

// [N, C] or channels-last [N, C, H, W], whole or a slice of a wider tensor along C; false: the elements lie in another way.
bool as_rows(const Tensor& t, Rows& rows) {
  if (!t.device().is_cpu() || t.layout() != at::kStrided || (t.dim() != 2 && t.dim() != 4) || t.numel() == 0) return false;
  if (t.scalar_type() != at::kFloat && t.scalar_type() != at::kDouble) return false;
  rows = {t.data_ptr(), t.numel() / t.size(1), t.size(1), t.size(1)};
  if (rows.channels > 1 && t.stride(1) != 1) return false;
  bool first = true;
  int64_t pixels = 1;
  for (int64_t d : {int64_t{3}, int64_t{2}, int64_t{0}}) {  // from one pixel to the next, the row, the image
    if (d >= t.dim() || t.size(d) == 1) continue;
    if (first) rows.stride = t.stride(d);
    if (t.stride(d) != pixels * rows.stride) return false;
    pixels *= t.size(d);
    first = false;
  }
  return rows.stride >= rows.channels;
}

Rows rows_of(const char* role, const Tensor* tensor, const Tensor& like) {
  const Tensor& t = imta::defined(const_cast<Tensor*>(tensor));
  Rows rows;
  if (!as_rows(t, rows))
    throw std::invalid_argument(std::string(role) + ": neither [N, C] nor channels-last [N, C, H, W] of float32 or float64 on the CPU");
  if (t.scalar_type() != like.scalar_type() || t.sizes() != like.sizes())
    throw std::invalid_argument(std::string(role) + " is " + std::string(t.toString()) + " " + c10::str(t.sizes()) + ", and z " + std::string(like.toString()) +
                                " " + c10::str(like.sizes()));
  return rows;
}

template <typename T>
T* values(const char* role, const Tensor* tensor, int64_t count) {
  const Tensor& t = imta::defined(const_cast<Tensor*>(tensor));
  if (!t.device().is_cpu() || t.scalar_type() != c10::CppTypeToScalarType<T>::value || !t.is_contiguous() || t.numel() != count)
    throw std::invalid_argument(std::string(role) + ": not " + std::to_string(count) + " numbers of z's type beside each other on the CPU");
  return static_cast<T*>(t.data_ptr());
}

// --- Blocks of rows, and several narrow rows as one wide one ---

// How a loop goes over rows: `fold` rows are one of `channels` · fold, so that few channels fill vectors too. The rest goes row by row.
struct Plan {
  int64_t rows, channels, fold, per_block, blocks;

  Plan(int64_t rows, int64_t channels, bool dense) : rows(rows), channels(channels) {
    fold = dense && channels < 4 * kVector ? std::min(kVector / std::gcd(channels, kVector), rows) : 1;
    per_block = std::max<int64_t>(1, kBlockElements / (channels * fold)) * fold;
    blocks = (rows + per_block - 1) / per_block;
  }

  // body(first row, rows / fold, fold) for the rows of each block, and for what does not fill a fold; block's number last.
  template <typename Body>
  void run(const Body& body) const {
    at::parallel_for(0, blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; b++) {
        const int64_t start = b * per_block, count = std::min(per_block, rows - start), folded = count / fold;
        if (folded > 0) body(start, folded, fold, b);
        if (count > folded * fold) body(start + folded * fold, count - folded * fold, int64_t{1}, b);
      }
    });
  }
};

// Values of the channels, `fold` times behind each other.
template <typename T>
std::vector<T> repeated(const T* values, int64_t channels, int64_t fold) {
  std::vector<T> all(channels * fold);
  for (int64_t k = 0; k < fold; k++) std::copy(values, values + channels, all.begin() + k * channels);
  return all;
}

// Two sums over the rows of each channel. body(first row, rows, channels, scratch, sums) adds those of its rows.
template <typename T, typename Body>
std::vector<double> sums_over(const Plan& plan, const Body& body) {
  const int64_t wide = plan.channels * plan.fold;
  std::vector<double> parts(plan.blocks * 2 * plan.channels);
  plan.run([&](int64_t row, int64_t count, int64_t fold, int64_t block) {
    std::vector<T> scratch(2 * wide);
    std::vector<double> folded(2 * plan.channels * fold);
    body(row, count, plan.channels * fold, scratch.data(), folded.data());
    double* part = parts.data() + block * 2 * plan.channels;
    for (int64_t sum = 0; sum < 2; sum++)
      for (int64_t k = 0; k < fold; k++)
        for (int64_t c = 0; c < plan.channels; c++) part[sum * plan.channels + c] += folded[(sum * fold + k) * plan.channels + c];
  });
  std::vector<double> total(2 * plan.channels);
  for (int64_t b = 0; b < plan.blocks; b++)
    for (int64_t c = 0; c < 2 * plan.channels; c++) total[c] += parts[b * 2 * plan.channels + c];
  return total;
}

// --- The three functions ---

template <typename T>
struct Saved {  // [4, C]
  T *mean, *inverse, *scale, *shift;

  Saved(const Tensor* saved, int64_t channels) {
    mean = values<T>("saved", saved, 4 * channels);
    inverse = mean + channels, scale = inverse + channels, shift = scale + channels;
  }
};

template <typename T>
void move_running(T* value, const std::vector<double>& batch, double momentum) {
  if (!value) return;
  for (size_t c = 0; c < batch.size(); c++) value[c] = static_cast<T>((1 - momentum) * value[c] + momentum * batch[c]);
}

template <typename T>
void write(const Rows& z, const Saved<T>& saved, const Rows& y) {
  const Plan plan(z.count, z.channels, z.dense() && y.dense());
  const std::vector<T> scale = repeated(saved.scale, z.channels, plan.fold), shift = repeated(saved.shift, z.channels, plan.fold);
  plan.run([&](int64_t row, int64_t count, int64_t fold, int64_t) {
    kernels<T>().forward(count, z.channels * fold, z.at<T>(row), z.stride * fold, scale.data(), shift.data(), y.at<T>(row), y.stride * fold);
  });
}

template <typename T>
void forward(const Tensor& zt, const Tensor* weight, const Tensor* bias, double epsilon, const Tensor* running_mean, const Tensor* running_variance,
             double momentum, const Tensor* yt, const Tensor* saved_tensor) {
  const Rows z = rows_of("z", &zt, zt), y = rows_of("y", yt, zt);
  const int64_t n = z.count, channels = z.channels;
  const T *gamma = values<T>("weight", weight, channels), *beta = values<T>("bias", bias, channels);
  const Saved<T> saved(saved_tensor, channels);
  T* const mean = running_mean ? values<T>("running_mean", running_mean, channels) : nullptr;
  T* const variance = running_variance ? values<T>("running_variance", running_variance, channels) : nullptr;

  // Around the first row's values, so that a mean far from 0 does not swallow the variance.
  const Plan plan(n, channels, z.dense());
  const std::vector<T> origin = repeated(z.at<T>(0), channels, plan.fold);
  const std::vector<double> sums = sums_over<T>(plan, [&](int64_t row, int64_t count, int64_t wide, T* scratch, double* into) {
    kernels<T>().moments(count, wide, z.at<T>(row), wide == channels ? z.stride : wide, origin.data(), scratch, into);
  });
  std::vector<double> means(channels), unbiased(channels);
  for (int64_t c = 0; c < channels; c++) {
    const double distance = sums[c] / n, difference = sums[channels + c] / n - distance * distance;
    const double biased = difference < 0 ? 0 : difference; // what is no number stays so
    const double inverse = 1 / std::sqrt(biased + epsilon);
    means[c] = origin[c] + distance;
    unbiased[c] = biased * n / (n - 1.0);
    const double scale = gamma[c] * inverse;
    saved.mean[c] = means[c], saved.inverse[c] = inverse, saved.scale[c] = scale, saved.shift[c] = beta[c] - means[c] * scale;
  }
  move_running(mean, means, momentum);
  move_running(variance, unbiased, momentum);
  write(z, saved, y);
}

template <typename T>
void again(const Tensor& zt, const Tensor* saved_tensor, const Tensor* yt) {
  const Rows z = rows_of("z", &zt, zt), y = rows_of("y", yt, zt);
  write(z, Saved<T>(saved_tensor, z.channels), y);
}

// What a row is multiplied by and gets added, from Σ v and Σ v · (z − mean); dγ and dβ are the norm's own tangent, or null.
template <typename T>
std::pair<std::vector<T>, std::vector<T>> slope_and_offset(const std::vector<double>& sums, int64_t n, int64_t channels, const Saved<T>& saved, const T* dgamma,
                                                            const T* dbeta) {
  std::vector<T> slope(channels), offset(channels);
  for (int64_t c = 0; c < channels; c++) {
    const double by_z = sums[channels + c] * saved.inverse[c];
    const double along = (-saved.scale[c] * by_z / n + (dgamma ? dgamma[c] : 0)) * saved.inverse[c];
    slope[c] = along;
    offset[c] = -saved.scale[c] * sums[c] / n - along * saved.mean[c] + (dbeta ? dbeta[c] : 0);
  }
  return {slope, offset};
}

template <typename T>
void cotangent(const Tensor* gt, const Tensor& zt, const Tensor* saved_tensor, const Tensor* dzt, const Tensor* dweight, const Tensor* dbias) {
  const Rows g = rows_of("g", gt, zt), z = rows_of("z", &zt, zt), dz = rows_of("dz", dzt, zt);
  const int64_t n = z.count, channels = z.channels;
  const Saved<T> saved(saved_tensor, channels);
  T *by_weight = values<T>("dweight", dweight, channels), *by_bias = values<T>("dbias", dbias, channels);

  const Plan plan(n, channels, g.dense() && z.dense());
  const std::vector<T> mean = repeated(saved.mean, channels, plan.fold), scale = repeated(saved.scale, channels, plan.fold),
                       shift = repeated(saved.shift, channels, plan.fold);
  const std::vector<double> sums = sums_over<T>(plan, [&](int64_t row, int64_t count, int64_t wide, T* scratch, double* into) {
    const int64_t fold = wide / channels;
    kernels<T>().cotangent_sums(count, wide, g.at<T>(row), g.stride * fold, z.at<T>(row), z.stride * fold, mean.data(), scale.data(), shift.data(), scratch, into);
  });
  for (int64_t c = 0; c < channels; c++) by_weight[c] = sums[channels + c] * saved.inverse[c], by_bias[c] = sums[c];

  const auto [slope_of, offset_of] = slope_and_offset<T>(sums, n, channels, saved, nullptr, nullptr);
  const Plan to(n, channels, g.dense() && z.dense() && dz.dense());
  const std::vector<T> slope = repeated(slope_of.data(), channels, to.fold), offset = repeated(offset_of.data(), channels, to.fold),
                       scale_to = repeated(saved.scale, channels, to.fold), shift_to = repeated(saved.shift, channels, to.fold);
  to.run([&](int64_t row, int64_t count, int64_t fold, int64_t) {
    kernels<T>().cotangent(count, channels * fold, g.at<T>(row), g.stride * fold, z.at<T>(row), z.stride * fold, scale_to.data(), shift_to.data(), slope.data(),
                           offset.data(), dz.at<T>(row), dz.stride * fold);
  });
}

template <typename T>
void tangent(const Tensor* t1t, const Tensor* t2t, const Tensor& zt, const Tensor* dweight, const Tensor* dbias, const Tensor* saved_tensor, const Tensor* dyt) {
  const Rows z = rows_of("z", &zt, zt), t1 = rows_of("t1", t1t, zt), t2 = t2t ? rows_of("t2", t2t, zt) : Rows(), dy = rows_of("dy", dyt, zt);
  const int64_t n = z.count, channels = z.channels;
  const Saved<T> saved(saved_tensor, channels);
  const T *dgamma = dweight ? values<T>("dweight", dweight, channels) : nullptr, *dbeta = dbias ? values<T>("dbias", dbias, channels) : nullptr;
  const bool dense = z.dense() && t1.dense() && (!t2t || t2.dense());
  const auto second = [&](int64_t row) { return t2t ? t2.at<T>(row) : nullptr; };

  const Plan plan(n, channels, dense);
  const std::vector<T> mean = repeated(saved.mean, channels, plan.fold);
  const std::vector<double> sums = sums_over<T>(plan, [&](int64_t row, int64_t count, int64_t wide, T* scratch, double* into) {
    const int64_t fold = wide / channels;
    kernels<T>().tangent_sums(count, wide, t1.at<T>(row), t1.stride * fold, second(row), t2.stride * fold, z.at<T>(row), z.stride * fold, mean.data(), scratch, into);
  });
  const auto [slope_of, offset_of] = slope_and_offset<T>(sums, n, channels, saved, dgamma, dbeta);
  const Plan to(n, channels, dense && dy.dense());
  const std::vector<T> slope = repeated(slope_of.data(), channels, to.fold), offset = repeated(offset_of.data(), channels, to.fold),
                       scale = repeated(saved.scale, channels, to.fold), shift = repeated(saved.shift, channels, to.fold);
  to.run([&](int64_t row, int64_t count, int64_t fold, int64_t) {
    kernels<T>().tangent(count, channels * fold, t1.at<T>(row), t1.stride * fold, second(row), t2.stride * fold, z.at<T>(row), z.stride * fold, scale.data(),
                         shift.data(), slope.data(), offset.data(), dy.at<T>(row), dy.stride * fold);
  });
}

template <typename T>
void add(const Tensor& target_tensor, const Tensor* source_tensor) {
  const Rows target = rows_of("target", &target_tensor, target_tensor), source = rows_of("source", source_tensor, target_tensor);
  Plan(target.count, target.channels, target.dense() && source.dense()).run([&](int64_t row, int64_t count, int64_t fold, int64_t) {
    kernels<T>().add(count, target.channels * fold, target.at<T>(row), target.stride * fold, source.at<T>(row), source.stride * fold);
  });
}

// Runs body(T()) with the element type of z.
template <typename Body>
int with_type(const Tensor& z, const Body& body) {
  if (z.scalar_type() == at::kDouble) body(double());
  else body(float());  // other types are refused by rows_of
  return 0;
}

}  // namespace

// Whether the functions below take a tensor.
IMTA_API int imta_norm_relu_takes(Tensor* tensor) {
  Rows rows;
  return tensor && as_rows(*tensor, rows) ? 1 : 0;
}

// Writes y and saved [4, C] = mean, 1/√(variance + ε), scale, shift; moves the running statistics where they are given.
IMTA_API int imta_norm_relu_forward(Tensor* z, Tensor* weight, Tensor* bias, double epsilon, Tensor* running_mean, Tensor* running_variance,
                                    double momentum, Tensor* y, Tensor* saved) {
  return imta::guarded<int>(-1, [&] {
    RECORD_FUNCTION("imta::norm_relu", std::vector<c10::IValue>());
    return with_type(imta::defined(z), [&](auto t) { forward<decltype(t)>(*z, weight, bias, epsilon, running_mean, running_variance, momentum, y, saved); });
  });
}

// y once more, to the same numbers.
IMTA_API int imta_norm_relu_again(Tensor* z, Tensor* saved, Tensor* y) {
  return imta::guarded<int>(-1, [&] {
    RECORD_FUNCTION("imta::norm_relu_again", std::vector<c10::IValue>());
    return with_type(imta::defined(z), [&](auto t) { again<decltype(t)>(*z, saved, y); });
  });
}

IMTA_API int imta_norm_relu_cotangent(Tensor* g, Tensor* z, Tensor* saved, Tensor* dz, Tensor* dweight, Tensor* dbias) {
  return imta::guarded<int>(-1, [&] {
    RECORD_FUNCTION("imta::norm_relu_cotangent", std::vector<c10::IValue>());
    return with_type(imta::defined(z), [&](auto t) { cotangent<decltype(t)>(g, *z, saved, dz, dweight, dbias); });
  });
}

IMTA_API int imta_norm_relu_tangent(Tensor* t1, Tensor* t2, Tensor* z, Tensor* dweight, Tensor* dbias, Tensor* saved, Tensor* dy) {
  return imta::guarded<int>(-1, [&] {
    RECORD_FUNCTION("imta::norm_relu_tangent", std::vector<c10::IValue>());
    return with_type(imta::defined(z), [&](auto t) { tangent<decltype(t)>(t1, t2, *z, dweight, dbias, saved, dy); });
  });
}

// target += source, both whole or slices.
IMTA_API int imta_rows_add(Tensor* target, Tensor* source) {
  return imta::guarded<int>(-1, [&] {
    RECORD_FUNCTION("imta::rows_add", std::vector<c10::IValue>());
    return with_type(imta::defined(target), [&](auto t) { add<decltype(t)>(*target, source); });
  });
}

// The instruction set in use: 0 portable, 1 AVX2, 2 AVX-512.
IMTA_API int imta_kernels_get() { return chosen(); }

IMTA_API int imta_kernels_set(int instructions) {
  return imta::guarded<int>(-1, [&] {
    if (!available(instructions)) throw std::invalid_argument("this processor has no instruction set " + std::to_string(instructions));
    chosen() = instructions;
    return 0;
  });
}
