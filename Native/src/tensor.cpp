// Handles of tensors: life, memory, description, and reverse-mode differentiation.
#include "shim.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>

#include <cstring>
#include <string>
#include <vector>

using at::Tensor;

namespace imta {
std::atomic<int64_t> live_tensors{0};
}

namespace {

std::vector<Tensor> to_vector(Tensor** handles, int count) {
  std::vector<Tensor> tensors;
  tensors.reserve(count);
  for (int k = 0; k < count; k++) tensors.push_back(handles[k] ? *handles[k] : Tensor());
  return tensors;
}

// Outputs and inputs of a differentiation; libtorch takes undefined ones for granted.
std::vector<Tensor> all_defined(Tensor** handles, int count, const char* role) {
  for (int k = 0; k < count; k++)
    if (!handles[k]) throw std::invalid_argument(std::string(role) + " " + std::to_string(k) + " is an undefined tensor");
  return to_vector(handles, count);
}

// Mirrors Native/TensorDescription.cs.
struct Description {
  int64_t dimensions;
  int64_t elements;
  int64_t storage_offset;
  int32_t scalar_type;
  int32_t element_size;
  int32_t device_type;
  int32_t device_index;
  int32_t requires_grad;
  int32_t is_leaf;
};

}  // namespace

IMTA_API void imta_tensor_free(Tensor* tensor) { imta::free_handle(tensor); }

// Handles that were handed out and not yet freed, in the whole process.
IMTA_API int64_t imta_tensor_live() { return imta::live_tensors.load(std::memory_order_relaxed); }

// A new CPU tensor that owns a copy of the `bytes` bytes at `data`.
IMTA_API Tensor* imta_tensor_from_memory(const void* data, int64_t bytes, const int64_t* sizes, int dimensions, int scalar_type) {
  return imta::guarded<Tensor*>(nullptr, [&] {
    if (scalar_type < 0 || scalar_type >= static_cast<int>(at::ScalarType::NumOptions))
      throw std::invalid_argument(std::to_string(scalar_type) + " is no element type");
    auto options = at::TensorOptions().dtype(static_cast<at::ScalarType>(scalar_type));
    Tensor tensor = at::empty(at::IntArrayRef(sizes, dimensions), options);
    if (static_cast<int64_t>(tensor.nbytes()) != bytes)
      throw std::invalid_argument("the tensor takes " + std::to_string(tensor.nbytes()) + " bytes, not " + std::to_string(bytes));
    if (bytes > 0) std::memcpy(tensor.data_ptr(), data, bytes);
    return imta::to_handle(std::move(tensor));
  });
}

IMTA_API int imta_tensor_describe(Tensor* handle, Description* description) {
  return imta::guarded<int>(-1, [&] {
    const Tensor& tensor = imta::defined(handle);
    description->dimensions = tensor.dim();
    description->elements = tensor.numel();
    description->storage_offset = tensor.has_storage() ? tensor.storage_offset() : 0;
    description->scalar_type = static_cast<int32_t>(tensor.scalar_type());
    description->element_size = static_cast<int32_t>(tensor.element_size());
    description->device_type = static_cast<int32_t>(tensor.device().type());
    description->device_index = tensor.device().index();
    description->requires_grad = tensor.requires_grad();
    description->is_leaf = tensor.is_leaf();
    return 0;
  });
}

IMTA_API int imta_tensor_sizes(Tensor* handle, int64_t* sizes, int64_t* strides) {
  return imta::guarded<int>(-1, [&] {
    const Tensor& tensor = imta::defined(handle);
    for (int64_t d = 0; d < tensor.dim(); d++) {
      if (sizes) sizes[d] = tensor.size(d);
      if (strides) strides[d] = tensor.stride(d);
    }
    return 0;
  });
}

// Where the elements lie (null: there are none): valid while the tensor lives; of a CUDA tensor an address on the device.
IMTA_API int imta_tensor_data(Tensor* tensor, void** data) {
  return imta::guarded<int>(-1, [&] {
    *data = imta::defined(tensor).data_ptr();
    return 0;
  });
}

IMTA_API int imta_tensor_is_contiguous(Tensor* tensor) {
  return imta::guarded<int>(-1, [&] { return imta::defined(tensor).is_contiguous() ? 1 : 0; });
}

// The value of a tensor with one element; waits for the device.
IMTA_API int imta_tensor_item(Tensor* tensor, int64_t* integer, double* real) {
  return imta::guarded<int>(-1, [&] {
    const at::Scalar value = imta::defined(tensor).item();
    if (value.isComplex()) throw std::invalid_argument("the value of a complex tensor is no real number");
    if (value.isFloatingPoint()) {
      *real = value.toDouble();
      return 1;
    }
    *integer = value.toLong();
    return 0;
  });
}

IMTA_API int imta_tensor_set_requires_grad(Tensor* tensor, int requires_grad) {
  return imta::guarded<int>(-1, [&] {
    imta::defined(tensor).set_requires_grad(requires_grad != 0);
    return 0;
  });
}

// What backward left, or null.
IMTA_API int imta_tensor_grad(Tensor* tensor, Tensor** grad) {
  return imta::guarded<int>(-1, [&] {
    *grad = imta::to_handle(imta::defined(tensor).grad());
    return 0;
  });
}

IMTA_API int imta_tensor_set_grad(Tensor* tensor, Tensor* grad) {
  return imta::guarded<int>(-1, [&] {
    imta::defined(tensor).mutable_grad() = grad ? *grad : Tensor();
    return 0;
  });
}

// Another handle of the same tensor (no copy; torch's tensors count references).
IMTA_API Tensor* imta_tensor_share(Tensor* tensor) {
  return imta::guarded<Tensor*>(nullptr, [&] { return imta::to_handle(imta::defined(tensor)); });
}

// d outputs / d inputs, weighted by grad_outputs; results[k] is null for an input that no output depends on.
IMTA_API int imta_autograd_grad(Tensor** outputs, Tensor** grad_outputs, int output_count, Tensor** inputs, int input_count,
                                int retain_graph, int create_graph, int allow_unused, Tensor** results) {
  return imta::guarded<int>(-1, [&] {
    auto weights = grad_outputs ? to_vector(grad_outputs, output_count) : std::vector<Tensor>();
    imta::to_handles(torch::autograd::grad(all_defined(outputs, output_count, "output"), all_defined(inputs, input_count, "input"),
                                           weights, retain_graph != 0, create_graph != 0, allow_unused != 0),
                     results);
    return 0;
  });
}

// Adds d outputs / d leaves to the leaves' grad.
IMTA_API int imta_autograd_backward(Tensor** outputs, Tensor** grad_outputs, int output_count, Tensor** inputs, int input_count,
                                    int retain_graph, int create_graph) {
  return imta::guarded<int>(-1, [&] {
    auto weights = grad_outputs ? to_vector(grad_outputs, output_count) : std::vector<Tensor>();
    torch::autograd::backward(all_defined(outputs, output_count, "output"), weights, retain_graph != 0, create_graph != 0,
                              all_defined(inputs, input_count, "input"));
    return 0;
  });
}

IMTA_API int imta_grad_mode_get() { return c10::GradMode::is_enabled() ? 1 : 0; }

IMTA_API void imta_grad_mode_set(int enabled) { c10::GradMode::set_enabled(enabled != 0); }
