// The inner loops of batch normalisation and ReLU on rows of channels. CMake compiles this file once for each instruction set, with
// IMTA_KERNEL_PATH naming it; all loops are plain, for the compiler to vectorise. Multiply-adds are written out and nothing else is
// contracted: so the vector paths with FMA agree to the bit, and forward and derivative see the same side of zero.
#include "norm_relu_kernels.h"

#define IMTA_INDEPENDENT _Pragma("GCC ivdep")

namespace imta {
namespace IMTA_KERNEL_PATH {
namespace {

// A lane adds up this many tiles in its own precision before it is folded into double.
constexpr int64_t kFoldTiles = 16;

inline float madd(float a, float b, float c) {
#ifdef __FMA__
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

inline double madd(double a, double b, double c) {
#ifdef __FMA__
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

// ReLU's derivative: what passes where its argument is v. A NaN passes what comes, as in libtorch's threshold.
template <typename T>
inline T masked(T v, T value) {
  return v <= 0 ? T(0) : value;
}

// Copies rows in pieces of a fixed size, the last piece overlapping the one before: nothing outside the rows is touched.
template <int64_t kPiece, typename T>
void copy_pieces(const T* source, int64_t source_stride, T* target, int64_t target_stride, int64_t rows, int64_t channels) {
  const int64_t last = channels - kPiece;
  for (int64_t r = 0; r < rows; r++, source += source_stride, target += target_stride) {
    for (int64_t c = 0; c < last; c += kPiece) __builtin_memcpy(target + c, source + c, kPiece * sizeof(T));
    __builtin_memcpy(target + last, source + last, kPiece * sizeof(T));
  }
}

template <typename T>
void copy_rows(const T* source, int64_t source_stride, T* target, int64_t target_stride, int64_t rows, int64_t channels) {
  constexpr int64_t kLong = 64 / sizeof(T), kShort = 16 / sizeof(T);
  if (channels >= kLong) return copy_pieces<kLong>(source, source_stride, target, target_stride, rows, channels);
  if (channels >= kShort) return copy_pieces<kShort>(source, source_stride, target, target_stride, rows, channels);
  for (int64_t c = 0; c < channels; c++)
    for (int64_t r = 0; r < rows; r++) target[r * target_stride + c] = source[r * source_stride + c];
}

template <typename T>
inline bool is_one_run(const Plan& plan, Rows<T> rows) {
  return plan.tile_rows == 1 || rows.stride == plan.channels;
}

inline int64_t rows_of(const Plan& plan, int64_t tile) {
  const int64_t left = plan.rows - tile * plan.tile_rows;
  return left < plan.tile_rows ? left : plan.tile_rows;
}

// A tile to read as one run: where it lies, or copied together.
template <typename T>
inline const T* gathered(const Plan& plan, Rows<const T> rows, int64_t tile, T* copy) {
  const T* source = rows.data + tile * plan.tile_rows * rows.stride;
  if (is_one_run(plan, rows)) return source;
  copy_rows(source, rows.stride, copy, plan.channels, rows_of(plan, tile), plan.channels);
  return copy;
}

// A tile to write as one run: where it lies, or a copy that `scatter` takes there.
template <typename T>
inline T* run_of(const Plan& plan, Rows<T> rows, int64_t tile, T* copy) {
  return is_one_run(plan, rows) ? rows.data + tile * plan.tile_rows * rows.stride : copy;
}

template <typename T>
inline void scatter(const Plan& plan, Rows<T> rows, int64_t tile, const T* copy) {
  if (is_one_run(plan, rows)) return;
  T* target = rows.data + tile * plan.tile_rows * rows.stride;
  copy_rows(copy, plan.channels, target, rows.stride, rows_of(plan, tile), plan.channels);
}

// Adds a tile's lanes up, pair by pair and the last step in double, and clears them.
template <typename T>
void fold(const Plan& plan, T* lanes, double* sums) {
  for (int64_t half = plan.tile_rows / 2; half > 0; half /= 2) {
    const int64_t n = half * plan.channels;
    IMTA_INDEPENDENT
    for (int64_t i = 0; i < n; i++) lanes[i] += lanes[n + i];
  }
  IMTA_INDEPENDENT
  for (int64_t c = 0; c < plan.channels; c++) sums[c] += lanes[c];
  __builtin_memset(lanes, 0, plan.width * sizeof(T));
}

// Two sums over the rows of a range: `add(tile, n, first, second)` adds a tile's n elements to their lanes.
template <typename T, typename Add>
inline void reduce(const Plan& plan, Range range, double* sums, T* work, const Add& add) {
  T* first = work;
  T* second = work + plan.width;
  __builtin_memset(work, 0, 2 * plan.width * sizeof(T));
  for (int64_t begin = range.begin; begin < range.end; begin += kFoldTiles) {
    const int64_t end = begin + kFoldTiles < range.end ? begin + kFoldTiles : range.end;
    for (int64_t tile = begin; tile < end; tile++) add(tile, rows_of(plan, tile) * plan.channels, first, second);
    fold(plan, first, sums);
    fold(plan, second, sums + plan.channels);
  }
}

template <typename T>
void moments(const Plan& plan, Range range, Rows<const T> z, const T* centre, double* sums, T* work) {
  T* copy = work + 2 * plan.width;
  reduce(plan, range, sums, work, [=, &plan](int64_t tile, int64_t n, T* first, T* second) {
    const T* zs = gathered(plan, z, tile, copy);
    IMTA_INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
      const T d = zs[i] - centre[i];
      first[i] += d;
      second[i] = madd(d, d, second[i]);
    }
  });
}

template <typename T>
void forward(const Plan& plan, Range range, Rows<const T> z, const Coefficients<T>& by, Rows<T> y, T* work) {
  const T* scale = by.scale;
  const T* shift = by.shift;
  for (int64_t tile = range.begin; tile < range.end; tile++) {
    const int64_t n = rows_of(plan, tile) * plan.channels;
    const T* zs = gathered(plan, z, tile, work);
    T* ys = run_of(plan, y, tile, work + plan.width);
    IMTA_INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
      const T v = madd(zs[i], scale[i], shift[i]);
      ys[i] = masked(v, v);
    }
    scatter(plan, y, tile, ys);
  }
}

template <typename T>
void backward_sums(const Plan& plan, Range range, Rows<const T> g, Rows<const T> z, const Coefficients<T>& by, double* sums, T* work) {
  T* copy = work + 2 * plan.width;
  const Coefficients<T> k = by;
  reduce(plan, range, sums, work, [=, &plan](int64_t tile, int64_t n, T* first, T* second) {
    const T* gs = gathered(plan, g, tile, copy);
    const T* zs = gathered(plan, z, tile, copy + plan.width);
    IMTA_INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
      const T m = masked(madd(zs[i], k.scale[i], k.shift[i]), gs[i]);
      first[i] += m;
      second[i] = madd(m, zs[i] - k.mean[i], second[i]);
    }
  });
}

template <typename T>
void backward(const Plan& plan, Range range, Rows<const T> g, Rows<const T> z, const Coefficients<T>& by, Rows<T> dz, T* work) {
  const Coefficients<T> k = by;
  for (int64_t tile = range.begin; tile < range.end; tile++) {
    const int64_t n = rows_of(plan, tile) * plan.channels;
    const T* gs = gathered(plan, g, tile, work);
    const T* zs = gathered(plan, z, tile, work + plan.width);
    T* out = run_of(plan, dz, tile, work + 2 * plan.width);
    IMTA_INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
      const T m = masked(madd(zs[i], k.scale[i], k.shift[i]), gs[i]);
      out[i] = madd(k.scale[i], m, madd(k.slope[i], zs[i] - k.mean[i], k.offset[i]));
    }
    scatter(plan, dz, tile, out);
  }
}

template <bool kTwo, typename T>
void add_tangents(const Plan& plan, Range range, Rows<const T> t1, Rows<const T> t2, Rows<const T> z, const Coefficients<T>& by,
                  double* sums, T* work) {
  T* copy = work + 2 * plan.width;
  const T* mean = by.mean;
  reduce(plan, range, sums, work, [=, &plan](int64_t tile, int64_t n, T* first, T* second) {
    const T* ts = gathered(plan, t1, tile, copy);
    const T* zs = gathered(plan, z, tile, copy + plan.width);
    const T* us = kTwo ? gathered(plan, t2, tile, copy + 2 * plan.width) : nullptr;
    IMTA_INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
      const T t = kTwo ? ts[i] + us[i] : ts[i];
      first[i] += t;
      second[i] = madd(t, zs[i] - mean[i], second[i]);
    }
  });
}

template <typename T>
void tangent_sums(const Plan& plan, Range range, Rows<const T> t1, Rows<const T> t2, Rows<const T> z, const Coefficients<T>& by,
                  double* sums, T* work) {
  if (t2.data) return add_tangents<true>(plan, range, t1, t2, z, by, sums, work);
  return add_tangents<false>(plan, range, t1, t2, z, by, sums, work);
}

template <bool kTwo, typename T>
void apply_tangent(const Plan& plan, Range range, Rows<const T> t1, Rows<const T> t2, Rows<const T> z, const Coefficients<T>& by,
                   Rows<T> dy, T* work) {
  const Coefficients<T> k = by;
  for (int64_t tile = range.begin; tile < range.end; tile++) {
    const int64_t n = rows_of(plan, tile) * plan.channels;
    const T* ts = gathered(plan, t1, tile, work);
    const T* zs = gathered(plan, z, tile, work + plan.width);
    const T* us = kTwo ? gathered(plan, t2, tile, work + 2 * plan.width) : nullptr;
    T* out = run_of(plan, dy, tile, work + 3 * plan.width);
    IMTA_INDEPENDENT
    for (int64_t i = 0; i < n; i++) {
      const T t = kTwo ? ts[i] + us[i] : ts[i];
      const T d = madd(k.scale[i], t, madd(k.slope[i], zs[i] - k.mean[i], k.offset[i]));
      out[i] = masked(madd(zs[i], k.scale[i], k.shift[i]), d);
    }
    scatter(plan, dy, tile, out);
  }
}

template <typename T>
void tangent(const Plan& plan, Range range, Rows<const T> t1, Rows<const T> t2, Rows<const T> z, const Coefficients<T>& by, Rows<T> dy,
             T* work) {
  if (t2.data) return apply_tangent<true>(plan, range, t1, t2, z, by, dy, work);
  return apply_tangent<false>(plan, range, t1, t2, z, by, dy, work);
}

template <typename T>
void add(const Plan& plan, Range range, Rows<T> target, Rows<const T> source, T* work) {
  for (int64_t tile = range.begin; tile < range.end; tile++) {
    const int64_t n = rows_of(plan, tile) * plan.channels;
    const T* from = gathered(plan, source, tile, work);
    const T* before = gathered<T>(plan, {target.data, target.stride}, tile, work + plan.width);
    T* sum = run_of(plan, target, tile, work + plan.width);
    IMTA_INDEPENDENT
    for (int64_t i = 0; i < n; i++) sum[i] = before[i] + from[i];
    scatter(plan, target, tile, sum);
  }
}

template <typename T>
constexpr NormReluKernels<T> kKernels{moments<T>, forward<T>, backward_sums<T>, backward<T>, tangent_sums<T>, tangent<T>, add<T>};

}  // namespace

const KernelTable table{kKernels<float>, kKernels<double>};

}  // namespace IMTA_KERNEL_PATH
}  // namespace imta
