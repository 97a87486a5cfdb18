// The process: error text, version, threads, devices, random generators.
#include "shim.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <torch/csrc/api/include/torch/cuda.h>
#include <torch/csrc/api/include/torch/version.h>

#include <mutex>

namespace imta {

static thread_local std::string error_text;

void set_error(const char* text) {
  try {
    error_text = text;
  } catch (...) {
    // Out of memory for the message itself: keep the one that was there.
  }
}

}  // namespace imta

// Valid until the next failure on this thread.
IMTA_API const char* imta_error() { return imta::error_text.c_str(); }

IMTA_API const char* imta_torch_version() { return TORCH_VERSION; }

IMTA_API int imta_threads_get() {
  return imta::guarded<int>(-1, [] { return at::get_num_threads(); });
}

IMTA_API int imta_threads_set(int threads) {
  return imta::guarded<int>(-1, [&] {
    at::set_num_threads(threads);
    return 0;
  });
}

IMTA_API int imta_cuda_devices() {
  return imta::guarded<int>(-1, [] { return torch::cuda::is_available() ? static_cast<int>(torch::cuda::device_count()) : 0; });
}

// TF32 in convolutions and matrix products or in neither; cuDNN tries its algorithms for each shape and keeps the fastest.
IMTA_API int imta_cuda_math(int tf32) {
  return imta::guarded<int>(-1, [&] {
    at::globalContext().setAllowTF32CuDNN(tf32 != 0);
    at::globalContext().setAllowTF32CuBLAS(tf32 != 0);
    at::globalContext().setBenchmarkCuDNN(true);
    return 0;
  });
}

IMTA_API int imta_cuda_synchronize(int device) {
  return imta::guarded<int>(-1, [&] {
    torch::cuda::synchronize(device);
    return 0;
  });
}

IMTA_API int imta_seed_all(uint64_t seed) {
  return imta::guarded<int>(-1, [&] {
    at::manual_seed(seed);
    return 0;
  });
}

IMTA_API at::Generator* imta_generator_new(uint64_t seed) {
  return imta::guarded<at::Generator*>(nullptr, [&] { return new at::Generator(at::detail::createCPUGenerator(seed)); });
}

// Another handle of the process-wide CPU generator.
IMTA_API at::Generator* imta_generator_default() {
  return imta::guarded<at::Generator*>(nullptr, [] { return new at::Generator(at::detail::getDefaultCPUGenerator()); });
}

IMTA_API void imta_generator_free(at::Generator* generator) { delete generator; }

IMTA_API int imta_generator_seed(at::Generator* generator, uint64_t seed) {
  return imta::guarded<int>(-1, [&] {
    at::Generator& target = imta::defined(generator);
    std::lock_guard<std::mutex> lock(target.mutex());
    target.set_current_seed(seed);
    return 0;
  });
}

IMTA_API int imta_generator_initial_seed(at::Generator* generator, uint64_t* seed) {
  return imta::guarded<int>(-1, [&] {
    *seed = imta::defined(generator).current_seed();
    return 0;
  });
}
