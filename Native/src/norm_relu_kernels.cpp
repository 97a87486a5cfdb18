// The loops of norm_relu_kernels.h in vectors of the compiler's own kind; IMTA_INSTRUCTIONS names the instruction set that this
// translation unit is compiled for.
#include "norm_relu_kernels.h"

namespace imta {
namespace IMTA_INSTRUCTIONS {
namespace {

constexpr long kBlock = 128;  // rows that are summed up in T before they are added to the sums in float64

template <typename T, int width>
struct Vectors {
  typedef T Type __attribute__((vector_size(width * sizeof(T)), aligned(sizeof(T)), may_alias));
};

template <typename T, int width>
using Vector = typename Vectors<T, width>::Type;

template <int value>
struct Width {};

template <typename T, int width>
inline Vector<T, width> load(const T* p) {
  return *reinterpret_cast<const Vector<T, width>*>(p);
}

template <typename T, int width>
inline void store(T* p, Vector<T, width> v) {
  *reinterpret_cast<Vector<T, width>*>(p) = v;
}

// Calls body(Width, c) for the channels of a row, in the widest vectors that fit.
template <typename Body>
inline void each(long channels, Body body) {
  long c = 0;
  for (; c + 16 <= channels; c += 16) body(Width<16>(), c);
  if (channels & 8) body(Width<8>(), c), c += 8;
  if (channels & 4) body(Width<4>(), c), c += 4;
  if (channels & 2) body(Width<2>(), c), c += 2;
  if (channels & 1) body(Width<1>(), c);
}

// Runs body(row) for all rows; after each block what it summed up in scratch goes to the sums.
template <typename T, typename Body>
inline void summed(long rows, long channels, T* scratch, double* sums, Body body) {
  for (long start = 0; start < rows; start += kBlock) {
    const long end = start + kBlock < rows ? start + kBlock : rows;
    for (long c = 0; c < 2 * channels; c++) scratch[c] = 0;
    for (long r = start; r < end; r++) body(r);
    for (long c = 0; c < 2 * channels; c++) sums[c] += scratch[c];
  }
}

template <typename T, int width>
inline void add_to(T* sum, Vector<T, width> v) {
  store<T, width>(sum, load<T, width>(sum) + v);
}

// v where y > 0 and 0 elsewhere. What is no number counts as positive, as in libtorch.
template <typename T, int width>
inline Vector<T, width> let_through(Vector<T, width> y, Vector<T, width> v) {
  return y <= T(0) ? Vector<T, width>{} : v;
}

template <typename T>
void moments(long rows, long channels, const T* z, long z_stride, const T* origin, T* scratch, double* sums) {
  summed(rows, channels, scratch, sums, [=](long r) {
    const T* zr = z + r * z_stride;
    each(channels, [=]<int w>(Width<w>, long c) {
      const Vector<T, w> v = load<T, w>(zr + c) - load<T, w>(origin + c);
      add_to<T, w>(scratch + c, v);
      add_to<T, w>(scratch + channels + c, v * v);
    });
  });
}

template <typename T>
void forward(long rows, long channels, const T* z, long z_stride, const T* scale, const T* shift, T* y, long y_stride) {
  for (long r = 0; r < rows; r++) {
    const T* zr = z + r * z_stride;
    T* yr = y + r * y_stride;
    each(channels, [=]<int w>(Width<w>, long c) {
      const Vector<T, w> v = load<T, w>(zr + c) * load<T, w>(scale + c) + load<T, w>(shift + c);
      store<T, w>(yr + c, v < T(0) ? Vector<T, w>{} : v);
    });
  }
}

template <typename T>
void cotangent_sums(long rows, long channels, const T* g, long g_stride, const T* z, long z_stride, const T* mean, const T* scale, const T* shift,
                    T* scratch, double* sums) {
  summed(rows, channels, scratch, sums, [=](long r) {
    const T *gr = g + r * g_stride, *zr = z + r * z_stride;
    each(channels, [=]<int w>(Width<w>, long c) {
      const Vector<T, w> v = load<T, w>(zr + c);
      const Vector<T, w> through = let_through<T, w>(v * load<T, w>(scale + c) + load<T, w>(shift + c), load<T, w>(gr + c));
      add_to<T, w>(scratch + c, through);
      add_to<T, w>(scratch + channels + c, through * (v - load<T, w>(mean + c)));
    });
  });
}

template <typename T>
void cotangent(long rows, long channels, const T* g, long g_stride, const T* z, long z_stride, const T* scale, const T* shift, const T* slope,
               const T* offset, T* dz, long dz_stride) {
  for (long r = 0; r < rows; r++) {
    const T *gr = g + r * g_stride, *zr = z + r * z_stride;
    T* dr = dz + r * dz_stride;
    each(channels, [=]<int w>(Width<w>, long c) {
      const Vector<T, w> v = load<T, w>(zr + c), factor = load<T, w>(scale + c);
      const Vector<T, w> through = let_through<T, w>(v * factor + load<T, w>(shift + c), load<T, w>(gr + c));
      store<T, w>(dr + c, factor * through + (load<T, w>(slope + c) * v + load<T, w>(offset + c)));
    });
  }
}

template <typename T, bool two>
void tangent_sums_of(long rows, long channels, const T* t1, long t1_stride, const T* t2, long t2_stride, const T* z, long z_stride, const T* mean,
                     T* scratch, double* sums) {
  summed(rows, channels, scratch, sums, [=](long r) {
    const T *ar = t1 + r * t1_stride, *br = two ? t2 + r * t2_stride : nullptr, *zr = z + r * z_stride;
    each(channels, [=]<int w>(Width<w>, long c) {
      Vector<T, w> t = load<T, w>(ar + c);
      if (two) t += load<T, w>(br + c);
      add_to<T, w>(scratch + c, t);
      add_to<T, w>(scratch + channels + c, t * (load<T, w>(zr + c) - load<T, w>(mean + c)));
    });
  });
}

template <typename T>
void tangent_sums(long rows, long channels, const T* t1, long t1_stride, const T* t2, long t2_stride, const T* z, long z_stride, const T* mean,
                  T* scratch, double* sums) {
  if (t2) tangent_sums_of<T, true>(rows, channels, t1, t1_stride, t2, t2_stride, z, z_stride, mean, scratch, sums);
  else tangent_sums_of<T, false>(rows, channels, t1, t1_stride, t2, t2_stride, z, z_stride, mean, scratch, sums);
}

template <typename T, bool two>
void tangent_of(long rows, long channels, const T* t1, long t1_stride, const T* t2, long t2_stride, const T* z, long z_stride, const T* scale,
                const T* shift, const T* slope, const T* offset, T* dy, long dy_stride) {
  for (long r = 0; r < rows; r++) {
    const T *ar = t1 + r * t1_stride, *br = two ? t2 + r * t2_stride : nullptr, *zr = z + r * z_stride;
    T* dr = dy + r * dy_stride;
    each(channels, [=]<int w>(Width<w>, long c) {
      Vector<T, w> t = load<T, w>(ar + c);
      if (two) t += load<T, w>(br + c);
      const Vector<T, w> v = load<T, w>(zr + c), factor = load<T, w>(scale + c);
      const Vector<T, w> d = factor * t + (load<T, w>(slope + c) * v + load<T, w>(offset + c));
      store<T, w>(dr + c, let_through<T, w>(v * factor + load<T, w>(shift + c), d));
    });
  }
}

template <typename T>
void tangent(long rows, long channels, const T* t1, long t1_stride, const T* t2, long t2_stride, const T* z, long z_stride, const T* scale,
             const T* shift, const T* slope, const T* offset, T* dy, long dy_stride) {
  if (t2) tangent_of<T, true>(rows, channels, t1, t1_stride, t2, t2_stride, z, z_stride, scale, shift, slope, offset, dy, dy_stride);
  else tangent_of<T, false>(rows, channels, t1, t1_stride, t2, t2_stride, z, z_stride, scale, shift, slope, offset, dy, dy_stride);
}

template <typename T>
void add(long rows, long channels, T* target, long target_stride, const T* source, long source_stride) {
  for (long r = 0; r < rows; r++) {
    T* to = target + r * target_stride;
    const T* from = source + r * source_stride;
    each(channels, [=]<int w>(Width<w>, long c) { add_to<T, w>(to + c, load<T, w>(from + c)); });
  }
}

template <typename T>
constexpr NormReluKernels<T> all() {
  return {moments<T>, forward<T>, cotangent_sums<T>, cotangent<T>, tangent_sums<T>, tangent<T>, add<T>};
}

}  // namespace

extern const KernelSet kernels;
const KernelSet kernels = {all<float>(), all<double>()};

}  // namespace IMTA_INSTRUCTIONS
}  // namespace imta
