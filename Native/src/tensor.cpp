// Handles of tensors: life, memory, description, and reverse-mode differentiation.
#include "shim.h"

#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/variable.h>

#include <cstring>
#include <vector>

using at::Tensor;

namespace imta {
std::atomic<int64_t> live_tensors{0};
}

namespace {

std::vector<Tensor> to_vector(Tensor** handles, int count) {
  std::vector<Tensor> tensors;
  tensors.reserve(count);
  for (int k = 0; k < count; k++) tensors.push_back(handles && handles[k] ? *handles[k] : Tensor());
  return tensors;
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

IMTA_API void imta_tensor_free(Tensor* tensor) {
  if (!tensor) return;
  delete tensor;
  imta::live_tensors.fetch_sub(1, std::memory_order_relaxed);
}

// Handles that were handed out and not yet freed, in the whole process.
IMTA_API int64_t imta_tensor_live() { return imta::live_tensors.load(std::memory_order_relaxed); }

// A new CPU tensor that owns a copy of `data`.
IMTA_API Tensor* imta_tensor_from_memory(const void* data, const int64_t* sizes, int dimensions, int scalar_type) {
  return imta::guarded<Tensor*>(nullptr, [&] {
    auto options = at::TensorOptions().dtype(static_cast<at::ScalarType>(scalar_type));
    Tensor tensor = at::empty(at::IntArrayRef(sizes, dimensions), options);
    if (tensor.numel() > 0) std::memcpy(tensor.data_ptr(), data, tensor.nbytes());
    return imta::to_handle(std::move(tensor));
  });
}

IMTA_API int imta_tensor_describe(Tensor* tensor, Description* description) {
  return imta::guarded<int>(-1, [&] {
    description->dimensions = tensor->dim();
    description->elements = tensor->numel();
    description->storage_offset = tensor->has_storage() ? tensor->storage_offset() : 0;
    description->scalar_type = static_cast<int32_t>(tensor->scalar_type());
    description->element_size = static_cast<int32_t>(tensor->element_size());
    description->device_type = static_cast<int32_t>(tensor->device().type());
    description->device_index = tensor->device().index();
    description->requires_grad = tensor->requires_grad();
    description->is_leaf = tensor->is_leaf();
    return 0;
  });
}

IMTA_API int imta_tensor_sizes(Tensor* tensor, int64_t* sizes, int64_t* strides) {
  return imta::guarded<int>(-1, [&] {
    for (int64_t d = 0; d < tensor->dim(); d++) {
      if (sizes) sizes[d] = tensor->size(d);
      if (strides) strides[d] = tensor->stride(d);
    }
    return 0;
  });
}

// Where the elements lie: valid while the tensor lives; of a CUDA tensor an address on the device.
IMTA_API void* imta_tensor_data(Tensor* tensor) {
  return imta::guarded<void*>(nullptr, [&] { return tensor->data_ptr(); });
}

IMTA_API int imta_tensor_is_contiguous(Tensor* tensor) {
  return imta::guarded<int>(-1, [&] { return tensor->is_contiguous() ? 1 : 0; });
}

// The value of a tensor with one element; waits for the device.
IMTA_API int imta_tensor_item(Tensor* tensor, int64_t* integer, double* real) {
  return imta::guarded<int>(-1, [&] {
    const at::Scalar value = tensor->item();
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
    tensor->set_requires_grad(requires_grad != 0);
    return 0;
  });
}

IMTA_API Tensor* imta_tensor_grad(Tensor* tensor) {
  return imta::guarded<Tensor*>(nullptr, [&] { return imta::to_handle(tensor->grad()); });
}

IMTA_API int imta_tensor_set_grad(Tensor* tensor, Tensor* grad) {
  return imta::guarded<int>(-1, [&] {
    tensor->mutable_grad() = grad ? *grad : Tensor();
    return 0;
  });
}

// Another handle of the same tensor (no copy; torch's tensors count references).
IMTA_API Tensor* imta_tensor_share(Tensor* tensor) {
  return imta::guarded<Tensor*>(nullptr, [&] { return imta::to_handle(*tensor); });
}

// d outputs / d inputs, weighted by grad_outputs; results[k] is null for an input that no output depends on.
IMTA_API int imta_autograd_grad(Tensor** outputs, Tensor** grad_outputs, int output_count, Tensor** inputs, int input_count,
                                int retain_graph, int create_graph, int allow_unused, Tensor** results) {
  return imta::guarded<int>(-1, [&] {
    auto weights = grad_outputs ? to_vector(grad_outputs, output_count) : std::vector<Tensor>();
    auto gradients = torch::autograd::grad(to_vector(outputs, output_count), to_vector(inputs, input_count), weights,
                                           retain_graph != 0, create_graph != 0, allow_unused != 0);
    for (int k = 0; k < input_count; k++) results[k] = imta::to_handle(std::move(gradients[k]));
    return 0;
  });
}

// Adds d outputs / d leaves to the leaves' grad.
IMTA_API int imta_autograd_backward(Tensor** outputs, Tensor** grad_outputs, int output_count, Tensor** inputs, int input_count,
                                    int retain_graph, int create_graph) {
  return imta::guarded<int>(-1, [&] {
    auto weights = grad_outputs ? to_vector(grad_outputs, output_count) : std::vector<Tensor>();
    torch::autograd::backward(to_vector(outputs, output_count), weights, retain_graph != 0, create_graph != 0,
                              to_vector(inputs, input_count));
    return 0;
  });
}

IMTA_API int imta_grad_mode_get() { return c10::GradMode::is_enabled() ? 1 : 0; }

IMTA_API void imta_grad_mode_set(int enabled) { c10::GradMode::set_enabled(enabled != 0); }
