// Batch norm by the batch's statistics, then ReLU, on rows of channels: a row is a pixel, its channels lie beside each other, and rows
// lie `stride` elements apart. Compiled once for each instruction set (norm_relu_kernels.cpp), so nothing of libtorch's or the standard
// library's inline code may be used here: the linker would keep one copy for all.
#pragma once

namespace imta {

// z: input of the norm; y = max(0, z · scale + shift); g = ∂/∂y; t1 + t2: tangent of z, t2 may be null. Sums are added to in float64:
// the first for each channel, then the second. `scratch` has room for 2 · channels elements.
template <typename T>
struct NormReluKernels {
  // Σ (z − origin) and Σ (z − origin)²
  void (*moments)(long rows, long channels, const T* z, long z_stride, const T* origin, T* scratch, double* sums);
  void (*forward)(long rows, long channels, const T* z, long z_stride, const T* scale, const T* shift, T* y, long y_stride);
  // With g where y > 0 and 0 elsewhere: Σ g and Σ g · (z − mean)
  void (*cotangent_sums)(long rows, long channels, const T* g, long g_stride, const T* z, long z_stride, const T* mean, const T* scale, const T* shift,
                         T* scratch, double* sums);
  // dz = scale · g + slope · z + offset
  void (*cotangent)(long rows, long channels, const T* g, long g_stride, const T* z, long z_stride, const T* scale, const T* shift, const T* slope,
                    const T* offset, T* dz, long dz_stride);
  // Σ t and Σ t · (z − mean)
  void (*tangent_sums)(long rows, long channels, const T* t1, long t1_stride, const T* t2, long t2_stride, const T* z, long z_stride, const T* mean,
                       T* scratch, double* sums);
  // dy = scale · t + slope · z + offset where y > 0 and 0 elsewhere
  void (*tangent)(long rows, long channels, const T* t1, long t1_stride, const T* t2, long t2_stride, const T* z, long z_stride, const T* scale,
                  const T* shift, const T* slope, const T* offset, T* dy, long dy_stride);
  void (*add)(long rows, long channels, T* target, long target_stride, const T* source, long source_stride);
};

struct KernelSet {
  NormReluKernels<float> f32;
  NormReluKernels<double> f64;
};

namespace portable {
extern const KernelSet kernels;
}
namespace avx2 {
extern const KernelSet kernels;
}
namespace avx512 {
extern const KernelSet kernels;
}

}  // namespace imta
