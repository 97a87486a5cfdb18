// Batch normalisation with the batch's own statistics and ReLU in one, on rows of channels (channels-last memory): forward, gradient
// and tangent. Here are the checks, the threads and the few numbers of each channel; the loops are in norm_relu_kernels.cpp.
#include "norm_relu_kernels.h"
#include "shim.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <new>
#include <numeric>

namespace {

using at::Tensor;
using imta::Coefficients;
using imta::Plan;
using imta::Range;
using imta::Rows;

enum Path : int { Portable, Avx2, Avx512 };

#ifdef IMTA_X86_KERNELS
int widest_path() {
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl");
  return avx2 ? (avx512 ? Avx512 : Avx2) : Portable;
}

const imta::KernelTable& table_of(int path) {
  return path == Avx512 ? imta::avx512::table : path == Avx2 ? imta::avx2::table : imta::portable::table;
}
#else
int widest_path() { return Portable; }

const imta::KernelTable& table_of(int) { return imta::portable::table; }
#endif

std::atomic<int>& current_path() {
  static std::atomic<int> path{widest_path()};
  return path;
}

template <typename T>
const imta::NormReluKernels<T>& kernels() {
  const imta::KernelTable& table = table_of(current_path().load(std::memory_order_relaxed));
  if constexpr (std::is_same<T, float>::value) return table.single;
  else return table.twice;
}

void demand(bool holds, const std::string& what) {
  if (!holds) throw std::invalid_argument("batch norm and ReLU: " + what);
}

// The distance between the rows of [N, C] or [N, C, H, W] whose channels lie side by side; 0: they do not. A dimension of size 1 may
// have any stride.
int64_t row_stride(const Tensor& tensor) {
  const auto sizes = tensor.sizes(), strides = tensor.strides();
  const int64_t channels = sizes[1];
  if (channels > 1 && strides[1] != 1) return 0;
  int64_t stride = 0, rows = 1;  // rows: that lie inside one step of the dimension
  for (const size_t d : {size_t{3}, size_t{2}, size_t{0}}) {
    if (d >= sizes.size() || sizes[d] == 1) continue;
    if (stride == 0) stride = strides[d];
    if (stride < channels || strides[d] != rows * stride) return 0;
    rows *= sizes[d];
  }
  return stride == 0 ? channels : stride;
}

// Why the kernels cannot read `tensor` as rows; null: they can.
const char* obstacle(const Tensor& tensor) {
  if (!tensor.device().is_cpu() || tensor.layout() != at::kStrided) return "is no dense tensor on the CPU";
  if (tensor.scalar_type() != at::kFloat && tensor.scalar_type() != at::kDouble) return "is neither float32 nor float64";
  if (tensor.is_neg()) return "is a view of negated elements";
  if (tensor.dim() != 2 && tensor.dim() != 4) return "is neither [N, C] nor [N, C, H, W]";
  if (tensor.numel() == 0 || !tensor.data_ptr()) return "has no elements";
  if (row_stride(tensor) == 0) return "is not laid out as rows: channels side by side (channels last), rows at one distance";
  return nullptr;
}

std::string text_of(at::IntArrayRef values) {
  std::ostringstream text;
  text << values;
  return text.str();
}

// An operand of rows, checked; `like` (if any) has the shape and type that it must have.
const Tensor& rows_operand(Tensor* handle, const char* name, const Tensor* like) {
  demand(handle != nullptr, std::string(name) + " is an undefined tensor");
  if (const char* reason = obstacle(*handle))
    demand(false, std::string(name) + " " + reason + " (shape " + text_of(handle->sizes()) + ", strides " +
                      (handle->layout() == at::kStrided ? text_of(handle->strides()) : "none") + ")");
  if (like) {
    demand(handle->scalar_type() == like->scalar_type(), std::string(name) + " has another element type than the others");
    demand(handle->sizes() == like->sizes(),
           std::string(name) + " has the shape " + text_of(handle->sizes()) + ", the others " + text_of(like->sizes()));
  }
  return *handle;
}

// The elements of a small operand of shape `sizes` without gaps; null if it may be left out and is.
template <typename T>
T* dense_operand(Tensor* handle, const char* name, at::IntArrayRef sizes, bool optional = false) {
  if (!handle && optional) return nullptr;
  demand(handle != nullptr, std::string(name) + " is an undefined tensor");
  demand(handle->device().is_cpu() && handle->layout() == at::kStrided && !handle->is_neg(),
         std::string(name) + " is no dense tensor on the CPU");
  demand(handle->scalar_type() == c10::CppTypeToScalarType<T>::value, std::string(name) + " has another element type than the rows");
  demand(handle->sizes() == sizes && handle->is_contiguous() && handle->data_ptr(),
         std::string(name) + " must have the shape " + text_of(sizes) + " without gaps, not " + text_of(handle->sizes()));
  return static_cast<T*>(handle->data_ptr());
}

template <typename T>
Rows<T> rows_of(const Tensor& tensor) {
  return {static_cast<T*>(tensor.data_ptr()), row_stride(tensor)};
}

template <typename T>
Rows<const T> readable(const Tensor& tensor) {
  return {static_cast<const T*>(tensor.data_ptr()), row_stride(tensor)};
}

// What is written may be one of the inputs, element for element, or share no element with it: such as another slice of the channels.
void demand_apart(const Tensor& written, const Tensor& read, const char* name) {
  const int64_t stride = row_stride(written), channels = written.size(1), element = static_cast<int64_t>(written.element_size());
  const auto reach = [&](const Tensor& t) { return ((t.numel() / channels - 1) * row_stride(t) + channels) * element; };
  const char* a = static_cast<const char*>(written.data_ptr());
  const char* b = static_cast<const char*>(read.data_ptr());
  if (a + reach(written) <= b || b + reach(read) <= a) return;
  const bool alike = row_stride(read) == stride && (b - a) % element == 0;
  const int64_t between = alike ? (((b - a) / element) % stride + stride) % stride : 0;
  demand(alike && (a == b || (between >= channels && stride - between >= channels)),
         std::string(name) + " overlaps an input in part");
}

Plan plan_of(const Tensor& tensor) {
  const int64_t lanes = 64 / static_cast<int64_t>(tensor.element_size());
  Plan plan{};
  plan.channels = tensor.size(1);
  plan.rows = tensor.numel() / plan.channels;
  plan.tile_rows = lanes / std::gcd(plan.channels, lanes);
  const bool fills_vectors = plan.tile_rows == 1 && plan.channels >= 4 * lanes;
  while (!fills_vectors && 2 * plan.tile_rows * plan.channels <= 32 * lanes) plan.tile_rows *= 2;
  if (plan.tile_rows * plan.channels > 128 * lanes) plan.tile_rows = 1;
  plan.width = plan.tile_rows * plan.channels;
  plan.tiles = (plan.rows + plan.tile_rows - 1) / plan.tile_rows;
  // Enough elements to be worth a thread, and not too many partial sums.
  constexpr int64_t kChunkElements = 1 << 15, kChunks = 64;
  const int64_t tiles = std::max((kChunkElements + plan.width - 1) / plan.width, (plan.tiles + kChunks - 1) / kChunks);
  plan.chunk_tiles = std::min(plan.tiles, tiles);
  plan.chunks = (plan.tiles + plan.chunk_tiles - 1) / plan.chunk_tiles;
  return plan;
}

struct AlignedDelete {
  void operator()(void* memory) const { ::operator delete(memory, std::align_val_t{64}); }
};

template <typename T>
using Buffer = std::unique_ptr<T[], AlignedDelete>;

template <typename T>
Buffer<T> buffer(int64_t count) {
  return Buffer<T>(static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t{64})));
}

// Runs body(chunk, its tiles, work) for all chunks. The last come first if `backwards`: they are what the caches still hold.
template <typename T, typename Body>
void for_chunks(const Plan& plan, bool backwards, const Body& body) {
  at::parallel_for(0, plan.chunks, 1, [&](int64_t begin, int64_t end) {
    const Buffer<T> work = buffer<T>(imta::kWorkRuns * plan.width);
    for (int64_t k = begin; k < end; k++) {
      const int64_t chunk = backwards ? begin + end - 1 - k : k;
      const int64_t first = chunk * plan.chunk_tiles;
      body(chunk, Range{first, std::min(plan.tiles, first + plan.chunk_tiles)}, work.get());
    }
  });
}

// C first sums and C second ones over all rows: each chunk's own, added up in their order whoever made them.
template <typename T, typename Body>
std::vector<double> reduce(const Plan& plan, const Body& body) {
  const int64_t count = 2 * plan.channels;
  std::vector<double> partial(plan.chunks * count, 0.0);
  for_chunks<T>(plan, false, [&](int64_t chunk, Range range, T* work) { body(range, partial.data() + chunk * count, work); });
  for (int64_t chunk = 1; chunk < plan.chunks; chunk++)
    for (int64_t c = 0; c < count; c++) partial[c] += partial[chunk * count + c];
  partial.resize(count);
  return partial;
}

// Values of each channel, repeated for each row of a tile.
template <typename T>
class Repeated {
 public:
  Repeated(const Plan& plan, int count) : plan_(plan), values_(buffer<T>(count * plan.width)) {}

  template <typename Value>
  const T* set(int index, const Value& value_of) {
    T* run = values_.get() + index * plan_.width;
    for (int64_t c = 0; c < plan_.channels; c++) run[c] = static_cast<T>(value_of(c));
    for (int64_t i = plan_.channels; i < plan_.width; i++) run[i] = run[i - plan_.channels];
    return run;
  }

 private:
  const Plan& plan_;
  Buffer<T> values_;
};

template <typename T>
struct Saved {
  T* mean;
  T* invstd;
  T* scale;
  T* shift;
};

template <typename T>
Saved<T> saved_operand(Tensor* handle, int64_t channels) {
  T* data = dense_operand<T>(handle, "saved", {4, channels});
  return {data, data + channels, data + 2 * channels, data + 3 * channels};
}

template <typename T>
Coefficients<T> activation(Repeated<T>& values, const Saved<T>& saved) {
  Coefficients<T> by{};
  by.scale = values.set(0, [&](int64_t c) { return saved.scale[c]; });
  by.shift = values.set(1, [&](int64_t c) { return saved.shift[c]; });
  by.mean = values.set(2, [&](int64_t c) { return saved.mean[c]; });
  return by;
}

// The mean of a few rows from all over: near each channel's own mean, so that no digits cancel in the sum of squares.
template <typename T>
double rough_mean(const Plan& plan, Rows<const T> z, int64_t channel) {
  const int64_t samples = std::min<int64_t>(plan.rows, 32);
  double sum = 0;
  for (int64_t k = 0; k < samples; k++) sum += z.data[(k * plan.rows / samples) * z.stride + channel];
  return std::isfinite(sum) ? sum / samples : 0;
}

template <typename T>
struct Forward {
  Rows<const T> z;
  const T* weight;
  const T* bias;
  double eps;
  T* running_mean;
  T* running_var;
  double momentum;
  Rows<T> y;
  Saved<T> saved;
};

// A channel's statistics from its sums about `centre`: saved, and mixed into the running ones.
template <typename T>
void finish_statistics(const Forward<T>& f, const Plan& plan, int64_t c, double centre, double sum, double squares) {
  const double rows = static_cast<double>(plan.rows), off = sum / rows, mean = centre + off;
  double var = squares / rows - off * off;
  if (var < 0) var = 0;
  const double invstd = 1 / std::sqrt(var + f.eps);
  f.saved.mean[c] = static_cast<T>(mean);
  f.saved.invstd[c] = static_cast<T>(invstd);
  f.saved.scale[c] = static_cast<T>(f.weight[c] * invstd);
  f.saved.shift[c] = static_cast<T>(f.bias[c] - mean * f.saved.scale[c]);
  if (!f.running_mean) return;
  f.running_mean[c] = static_cast<T>((1 - f.momentum) * f.running_mean[c] + f.momentum * mean);
  f.running_var[c] = static_cast<T>((1 - f.momentum) * f.running_var[c] + f.momentum * var * rows / (rows - 1));
}

template <typename T>
void run_activation(const Plan& plan, Rows<const T> z, const Saved<T>& saved, Rows<T> y) {
  Repeated<T> values(plan, 3);
  const Coefficients<T> by = activation(values, saved);
  for_chunks<T>(plan, true, [&](int64_t, Range range, T* work) { kernels<T>().forward(plan, range, z, by, y, work); });
}

template <typename T>
void run_forward(const Plan& plan, const Forward<T>& f) {
  const auto& kernel = kernels<T>();
  Repeated<T> values(plan, 1);
  const T* centre = values.set(0, [&](int64_t c) { return rough_mean(plan, f.z, c); });
  const auto sums = reduce<T>(plan, [&](Range range, double* sums, T* work) { kernel.moments(plan, range, f.z, centre, sums, work); });
  for (int64_t c = 0; c < plan.channels; c++) finish_statistics(f, plan, c, centre[c], sums[c], sums[plan.channels + c]);
  run_activation(plan, f.z, f.saved, f.y);
}

template <typename T>
struct Backward {
  Rows<const T> g;
  Rows<const T> z;
  Saved<T> saved;
  Rows<T> dz;
  T* dweight;
  T* dbias;
};

// The gradient by z takes the masked cotangent m to scale * (m - mean(m) - z^ * mean(m z^)), z^ = (z - mean) * invstd.
template <typename T>
void run_backward(const Plan& plan, const Backward<T>& b) {
  const auto& kernel = kernels<T>();
  Repeated<T> values(plan, 5);
  Coefficients<T> by = activation(values, b.saved);
  const auto sums = reduce<T>(plan, [&](Range range, double* sums, T* work) {
    kernel.backward_sums(plan, range, b.g, b.z, by, sums, work);
  });
  const double* products = sums.data() + plan.channels;
  const double rows = static_cast<double>(plan.rows);
  const auto invstd = [&](int64_t c) { return static_cast<double>(b.saved.invstd[c]); };
  by.slope = values.set(3, [&](int64_t c) { return -b.saved.scale[c] * invstd(c) * invstd(c) * products[c] / rows; });
  by.offset = values.set(4, [&](int64_t c) { return -b.saved.scale[c] * sums[c] / rows; });
  for_chunks<T>(plan, true, [&](int64_t, Range range, T* work) { kernel.backward(plan, range, b.g, b.z, by, b.dz, work); });
  for (int64_t c = 0; c < plan.channels; c++) {
    b.dweight[c] = static_cast<T>(products[c] * invstd(c));
    b.dbias[c] = static_cast<T>(sums[c]);
  }
}

template <typename T>
struct Tangent {
  Rows<const T> t1;
  Rows<const T> t2;  // may have no data
  Rows<const T> z;
  const T* dweight;  // may be null, as dbias
  const T* dbias;
  Saved<T> saved;
  Rows<T> dy;
};

// Normalisation's Jacobian is symmetric: the tangent is the same expression of t, and what weight and bias add, under the mask.
template <typename T>
void run_tangent(const Plan& plan, const Tangent<T>& t) {
  const auto& kernel = kernels<T>();
  Repeated<T> values(plan, 5);
  Coefficients<T> by = activation(values, t.saved);
  const auto sums = reduce<T>(plan, [&](Range range, double* sums, T* work) {
    kernel.tangent_sums(plan, range, t.t1, t.t2, t.z, by, sums, work);
  });
  const double* products = sums.data() + plan.channels;
  const double rows = static_cast<double>(plan.rows);
  by.slope = values.set(3, [&](int64_t c) {
    const double invstd = t.saved.invstd[c], own = t.dweight ? t.dweight[c] : 0;
    return invstd * (own - t.saved.scale[c] * invstd * products[c] / rows);
  });
  by.offset = values.set(4, [&](int64_t c) { return (t.dbias ? t.dbias[c] : 0) - t.saved.scale[c] * sums[c] / rows; });
  for_chunks<T>(plan, true, [&](int64_t, Range range, T* work) { kernel.tangent(plan, range, t.t1, t.t2, t.z, by, t.dy, work); });
}

// Runs body(T()) for the element type of `tensor`, which is one of the two.
template <typename Body>
void for_type(const Tensor& tensor, const Body& body) {
  if (tensor.scalar_type() == at::kFloat) body(float());
  else body(double());
}

// What autograd may have recorded of a tensor that is overwritten holds no longer.
void mark_written(std::initializer_list<Tensor*> handles) {
  for (Tensor* handle : handles)
    if (handle) handle->unsafeGetTensorImpl()->bump_version();
}

}  // namespace

// The vector path of all kernels: 0 portable, 1 AVX2, 2 AVX-512.
IMTA_API int imta_kernels_path_get() { return current_path().load(std::memory_order_relaxed); }

IMTA_API int imta_kernels_path_widest() { return widest_path(); }

IMTA_API int imta_kernels_path_set(int path) {
  return imta::guarded<int>(-1, [&] {
    demand(path >= Portable && path <= widest_path(), "this machine has no vector path " + std::to_string(path));
    current_path().store(path, std::memory_order_relaxed);
    return 0;
  });
}

// Whether a tensor can be an operand.
IMTA_API int imta_norm_relu_supports(Tensor* tensor) {
  return imta::guarded<int>(0, [&] { return tensor && !obstacle(*tensor) ? 1 : 0; });
}

// saved: [4, C] = mean, 1 / standard deviation, scale, shift. The running statistics may be null.
IMTA_API int imta_norm_relu_forward(Tensor* z, Tensor* weight, Tensor* bias, double eps, Tensor* running_mean, Tensor* running_var,
                                    double momentum, Tensor* y, Tensor* saved) {
  return imta::guarded<int>(-1, [&] {
    RECORD_FUNCTION("imta::norm_relu", std::vector<c10::IValue>());
    const Tensor& rows = rows_operand(z, "z", nullptr);
    demand_apart(rows_operand(y, "y", &rows), rows, "y");
    demand(std::isfinite(eps) && eps >= 0, "eps is " + std::to_string(eps));
    demand(std::isfinite(momentum), "the momentum is " + std::to_string(momentum));
    demand(!running_mean == !running_var, "the running mean and variance come together or not at all");
    const Plan plan = plan_of(rows);
    demand(plan.rows > 1, "one row has no statistics: training takes more than 1 value per channel");
    for_type(rows, [&](auto type) {
      using T = decltype(type);
      const at::IntArrayRef channels(plan.channels);
      run_forward<T>(plan, {readable<T>(rows), dense_operand<T>(weight, "weight", channels), dense_operand<T>(bias, "bias", channels), eps,
                            dense_operand<T>(running_mean, "the running mean", channels, true),
                            dense_operand<T>(running_var, "the running variance", channels, true), momentum, rows_of<T>(*y),
                            saved_operand<T>(saved, plan.channels)});
    });
    mark_written({y, saved, running_mean, running_var});
    return 0;
  });
}

// y once more, to the same bits.
IMTA_API int imta_norm_relu_again(Tensor* z, Tensor* saved, Tensor* y) {
  return imta::guarded<int>(-1, [&] {
    RECORD_FUNCTION("imta::norm_relu_again", std::vector<c10::IValue>());
    const Tensor& rows = rows_operand(z, "z", nullptr);
    demand_apart(rows_operand(y, "y", &rows), rows, "y");
    const Plan plan = plan_of(rows);
    for_type(rows, [&](auto type) {
      using T = decltype(type);
      run_activation<T>(plan, readable<T>(rows), saved_operand<T>(saved, plan.channels), rows_of<T>(*y));
    });
    mark_written({y});
    return 0;
  });
}

IMTA_API int imta_norm_relu_backward(Tensor* g, Tensor* z, Tensor* weight, Tensor* saved, Tensor* dz, Tensor* dweight, Tensor* dbias) {
  return imta::guarded<int>(-1, [&] {
    RECORD_FUNCTION("imta::norm_relu_backward", std::vector<c10::IValue>());
    const Tensor& rows = rows_operand(z, "z", nullptr);
    const Tensor& cotangent = rows_operand(g, "g", &rows);
    demand_apart(rows_operand(dz, "dz", &rows), rows, "dz");
    demand_apart(*dz, cotangent, "dz");
    const Plan plan = plan_of(rows);
    for_type(rows, [&](auto type) {
      using T = decltype(type);
      const at::IntArrayRef channels(plan.channels);
      dense_operand<T>(weight, "weight", channels);  // its values are in saved's scale
      run_backward<T>(plan, {readable<T>(cotangent), readable<T>(rows), saved_operand<T>(saved, plan.channels), rows_of<T>(*dz),
                             dense_operand<T>(dweight, "dweight", channels), dense_operand<T>(dbias, "dbias", channels)});
    });
    mark_written({dz, dweight, dbias});
    return 0;
  });
}

// t2, dweight and dbias may be null.
IMTA_API int imta_norm_relu_tangent(Tensor* t1, Tensor* t2, Tensor* z, Tensor* dweight, Tensor* dbias, Tensor* saved, Tensor* dy) {
  return imta::guarded<int>(-1, [&] {
    RECORD_FUNCTION("imta::norm_relu_tangent", std::vector<c10::IValue>());
    const Tensor& rows = rows_operand(z, "z", nullptr);
    const Tensor& first = rows_operand(t1, "t1", &rows);
    demand_apart(rows_operand(dy, "dy", &rows), rows, "dy");
    demand_apart(*dy, first, "dy");
    if (t2) demand_apart(*dy, rows_operand(t2, "t2", &rows), "dy");
    const Plan plan = plan_of(rows);
    for_type(rows, [&](auto type) {
      using T = decltype(type);
      const at::IntArrayRef channels(plan.channels);
      run_tangent<T>(plan, {readable<T>(first), t2 ? readable<T>(*t2) : Rows<const T>{nullptr, 0}, readable<T>(rows),
                            dense_operand<T>(dweight, "dweight", channels, true), dense_operand<T>(dbias, "dbias", channels, true),
                            saved_operand<T>(saved, plan.channels), rows_of<T>(*dy)});
    });
    mark_written({dy});
    return 0;
  });
}

IMTA_API int imta_rows_add(Tensor* target, Tensor* source) {
  return imta::guarded<int>(-1, [&] {
    RECORD_FUNCTION("imta::rows_add", std::vector<c10::IValue>());
    const Tensor& sum = rows_operand(target, "target", nullptr);
    const Tensor& summand = rows_operand(source, "source", &sum);
    demand_apart(sum, summand, "target");
    const Plan plan = plan_of(sum);
    for_type(sum, [&](auto type) {
      using T = decltype(type);
      const auto& kernel = kernels<T>();
      for_chunks<T>(plan, false, [&](int64_t, Range range, T* work) {
        kernel.add(plan, range, rows_of<T>(sum), readable<T>(summand), work);
      });
    });
    mark_written({target});
    return 0;
  });
}
