// What the source files share: the export macro, the error text, handles of tensors.
#pragma once

#include <ATen/ATen.h>

#include <atomic>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#define IMTA_API extern "C" __attribute__((visibility("default")))

namespace imta {

// The last error's text on this thread; an exported function that fails sets it and returns its failure value.
void set_error(const char* text);

extern std::atomic<int64_t> live_tensors;

// A handle is a heap-allocated at::Tensor, as TorchSharp has it; an undefined tensor is the null handle.
inline at::Tensor* to_handle(at::Tensor tensor) {
  if (!tensor.defined()) return nullptr;
  auto* handle = new at::Tensor(std::move(tensor));
  live_tensors.fetch_add(1, std::memory_order_relaxed);
  return handle;
}

inline void free_handle(at::Tensor* handle) {
  if (!handle) return;
  delete handle;
  live_tensors.fetch_sub(1, std::memory_order_relaxed);
}

// A handle for each tensor, or for none: one that cannot be made takes those before it along.
inline void to_handles(std::vector<at::Tensor> tensors, at::Tensor** results) {
  size_t done = 0;
  try {
    for (; done < tensors.size(); done++) results[done] = to_handle(std::move(tensors[done]));
  } catch (...) {
    while (done > 0) free_handle(results[--done]);
    throw;
  }
}

// What a handle stands for; the null handle has nothing.
template <typename Object>
Object& defined(Object* handle) {
  if (!handle) throw std::invalid_argument("an undefined tensor or generator (the null handle) has no such property");
  return *handle;
}

// Runs `body`; whatever it throws becomes the error text and `failure` the result. Nothing crosses the C boundary.
template <typename Result, typename Body>
Result guarded(Result failure, Body&& body) noexcept {
  try {
    return body();
  } catch (const c10::Error& e) {
    set_error(e.what_without_backtrace());
  } catch (const std::exception& e) {
    set_error(e.what());
  } catch (...) {
    set_error("an unknown C++ exception");
  }
  return failure;
}

}  // namespace imta
