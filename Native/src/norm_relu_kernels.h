// What the batch-norm and ReLU kernels and their callers share. Plain memory only: norm_relu_kernels.cpp is compiled for several
// instruction sets, and code of a common header must not be compiled along with it, lest the linker keep the wrong copy.
#pragma once

#include <cstdint>

namespace imta {

// Rows whose channels lie side by side; a row starts `stride` elements after the one before.
template <typename T>
struct Rows {
  T* data;
  int64_t stride;
};

// How M rows of C channels are cut. It follows from the shape alone, so that sums come out the same whatever the threads or strides.
struct Plan {
  int64_t rows;
  int64_t channels;
  int64_t tile_rows;    // a power of two; a tile's rows are treated as one run, so that few channels fill vectors too
  int64_t width;        // elements of a tile: tile_rows * channels
  int64_t tiles;        // the last may be cut short
  int64_t chunk_tiles;  // what one thread takes at a time
  int64_t chunks;
};

struct Range {
  int64_t begin;
  int64_t end;
};

// What an element is multiplied with and added to, one value for each element of a tile.
template <typename T>
struct Coefficients {
  const T* scale;   // the activation's argument is z * scale + shift
  const T* shift;
  const T* mean;
  const T* slope;   // of a derivative by z - mean
  const T* offset;  // of a derivative
};

// One instruction set's kernels. Each works through the tiles of a range; `work` has room for kWorkRuns tiles. Those that reduce
// add to `sums`: C first sums, then C second ones.
template <typename T>
struct NormReluKernels {
  // sum of d = z - centre, and of d * d
  void (*moments)(const Plan&, Range, Rows<const T> z, const T* centre, double* sums, T* work);
  // y = max(0, z * scale + shift)
  void (*forward)(const Plan&, Range, Rows<const T> z, const Coefficients<T>&, Rows<T> y, T* work);
  // sum of m = mask * g, and of m * (z - mean)
  void (*backward_sums)(const Plan&, Range, Rows<const T> g, Rows<const T> z, const Coefficients<T>&, double* sums, T* work);
  // dz = scale * mask * g + slope * (z - mean) + offset
  void (*backward)(const Plan&, Range, Rows<const T> g, Rows<const T> z, const Coefficients<T>&, Rows<T> dz, T* work);
  // sum of t = t1 + t2, and of t * (z - mean); t2's data may be null
  void (*tangent_sums)(const Plan&, Range, Rows<const T> t1, Rows<const T> t2, Rows<const T> z, const Coefficients<T>&, double* sums,
                       T* work);
  // dy = mask * (scale * t + slope * (z - mean) + offset)
  void (*tangent)(const Plan&, Range, Rows<const T> t1, Rows<const T> t2, Rows<const T> z, const Coefficients<T>&, Rows<T> dy, T* work);
  // target += source
  void (*add)(const Plan&, Range, Rows<T> target, Rows<const T> source, T* work);
};

constexpr int64_t kWorkRuns = 6;

struct KernelTable {
  NormReluKernels<float> single;
  NormReluKernels<double> twice;
};

namespace portable {
extern const KernelTable table;
}
namespace avx2 {
extern const KernelTable table;
}
namespace avx512 {
extern const KernelTable table;
}

}  // namespace imta
