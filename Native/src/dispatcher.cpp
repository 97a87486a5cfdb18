// libtorch's boxed dispatcher behind a C interface: find an operator by its schema name, push tagged arguments, call, hand back
// handles. Every ATen operator is reachable this way, with autograd, double backward and CUDA, and no more C++.
#include "shim.h"

#include <ATen/core/Generator.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <vector>

namespace {

using at::Tensor;
using c10::IValue;
using Kind = c10::TypeKind;

// Mirrors Native/Argument.cs.
struct Argument {
  int32_t tag;
  int32_t count;
  int64_t integer;
  double real;
  void* pointer;
};

enum Tag : int32_t { None, TensorTag, Int, Real, Bool, IntList, TensorList, Text, DeviceTag, RealList, GeneratorTag, BoolList, Default };

struct Operator {
  c10::OperatorHandle handle;
  std::string name;
};

// Results of the last call on this thread that did not fit into the caller's buffer.
thread_local std::vector<Tensor> pending;

[[noreturn]] void reject(const Operator& op, size_t index, const char* what) {
  const auto& argument = op.handle.schema().arguments()[index];
  throw std::invalid_argument(op.name + ": argument " + std::to_string(index) + " (" + argument.name() + ": " +
                              argument.type()->str() + ") cannot be " + what);
}

bool is_list_of_optional(const c10::Type& type) {
  auto element = type.cast<c10::ListType>();
  return element && element->getElementType()->kind() == Kind::OptionalType;
}

Kind inner_kind(const c10::TypePtr& type) {
  if (auto optional = type->cast<c10::OptionalType>()) return inner_kind(optional->getElementType());
  return type->kind();
}

IValue tensor_list(const Argument& a, bool optional) {
  auto** handles = static_cast<Tensor**>(a.pointer);
  if (optional) {
    c10::List<c10::optional<Tensor>> list;
    list.reserve(a.count);
    for (int k = 0; k < a.count; k++) list.push_back(handles[k] ? c10::optional<Tensor>(*handles[k]) : c10::nullopt);
    return IValue(std::move(list));
  }
  c10::List<Tensor> list;
  list.reserve(a.count);
  for (int k = 0; k < a.count; k++) list.push_back(handles[k] ? *handles[k] : Tensor());
  return IValue(std::move(list));
}

template <typename T>
IValue scalar_list(const Argument& a) {
  c10::List<T> list;
  list.reserve(a.count);
  for (int k = 0; k < a.count; k++) list.push_back(static_cast<T*>(a.pointer)[k]);
  return IValue(std::move(list));
}

// The value for argument `index`, converted to what the schema asks for: a wrong kind throws here, before libtorch could trip over it.
IValue to_ivalue(const Operator& op, size_t index, const Argument& a) {
  const auto& schema = op.handle.schema().arguments()[index];
  const Kind kind = inner_kind(schema.type());
  switch (a.tag) {
    case None:
      if (schema.type()->kind() != Kind::OptionalType && kind != Kind::NoneType) {
        if (kind == Kind::TensorType) return IValue(Tensor());
        reject(op, index, "none");
      }
      return IValue();
    case Default:
      if (!schema.default_value()) reject(op, index, "left out");
      return *schema.default_value();
    case TensorTag:
      if (kind != Kind::TensorType) reject(op, index, "a tensor");
      return IValue(*static_cast<Tensor*>(a.pointer));
    case Int:
      if (kind == Kind::FloatType) return IValue(static_cast<double>(a.integer));
      if (kind == Kind::BoolType) return IValue(a.integer != 0);
      if (kind == Kind::ListType) return IValue(c10::List<int64_t>({a.integer}));
      if (kind == Kind::TensorType || kind == Kind::StringType || kind == Kind::DeviceObjType || kind == Kind::GeneratorType)
        reject(op, index, "an integer");
      return IValue(a.integer);
    case Real:
      if (kind != Kind::FloatType && kind != Kind::NumberType) reject(op, index, "a real number");
      return IValue(a.real);
    case Bool:
      if (kind != Kind::BoolType && kind != Kind::NumberType) reject(op, index, "a truth value");
      return IValue(a.integer != 0);
    case IntList:
      if (kind != Kind::ListType) reject(op, index, "a list of integers");
      return scalar_list<int64_t>(a);
    case RealList:
      if (kind != Kind::ListType) reject(op, index, "a list of real numbers");
      return scalar_list<double>(a);
    case BoolList: {
      if (kind != Kind::ListType) reject(op, index, "a list of truth values");
      c10::List<bool> list;
      for (int k = 0; k < a.count; k++) list.push_back(static_cast<int64_t*>(a.pointer)[k] != 0);
      return IValue(std::move(list));
    }
    case TensorList:
      if (kind != Kind::ListType) reject(op, index, "a list of tensors");
      return tensor_list(a, is_list_of_optional(*schema.type()));
    case Text:
      if (kind != Kind::StringType) reject(op, index, "a text");
      return IValue(std::string(static_cast<const char*>(a.pointer)));
    case DeviceTag:
      if (kind != Kind::DeviceObjType) reject(op, index, "a device");
      return IValue(c10::Device(static_cast<c10::DeviceType>(a.integer), static_cast<c10::DeviceIndex>(a.count)));
    case GeneratorTag:
      if (kind != Kind::GeneratorType) reject(op, index, "a random generator");
      return IValue(*static_cast<at::Generator*>(a.pointer));
    default:
      reject(op, index, "of this tag");
  }
}

int hand_back(std::vector<IValue>& stack, Tensor** results, int capacity) {
  std::vector<Tensor> tensors;
  for (auto& value : stack) {
    if (value.isTensor()) tensors.push_back(std::move(value).toTensor());
    else if (value.isTensorList())
      for (const Tensor& tensor : value.toTensorVector()) tensors.push_back(tensor);
    else if (value.isNone()) tensors.emplace_back();
    else throw std::runtime_error("an operator with a result that is no tensor: " + value.tagKind());
  }
  const int count = static_cast<int>(tensors.size());
  if (count > capacity) {
    pending = std::move(tensors);
    return count;
  }
  for (int k = 0; k < count; k++) results[k] = imta::to_handle(std::move(tensors[k]));
  return count;
}

}  // namespace

// The operator `name` (such as "aten::add") with `overload` ("" or such as "Tensor"), or null.
IMTA_API void* imta_operator_find(const char* name, const char* overload) {
  return imta::guarded<void*>(nullptr, [&]() -> void* {
    auto handle = c10::Dispatcher::singleton().findSchemaOrThrow(name, overload);
    std::string full = *overload ? std::string(name) + "." + overload : std::string(name);
    return new Operator{handle, std::move(full)};
  });
}

// Calls `op`; arguments that are left out at the end take the schema's defaults. Returns the number of results, -1 on failure. More
// results than `capacity` wait for imta_operator_results.
IMTA_API int imta_operator_call(void* op, const Argument* arguments, int count, Tensor** results, int capacity) {
  return imta::guarded<int>(-1, [&] {
    const auto& target = *static_cast<Operator*>(op);
    const size_t wanted = target.handle.schema().arguments().size();
    if (static_cast<size_t>(count) > wanted)
      throw std::invalid_argument(target.name + ": takes at most " + std::to_string(wanted) + " arguments, not " + std::to_string(count));
    std::vector<IValue> stack;
    stack.reserve(wanted);
    static const Argument left_out{Default, 0, 0, 0, nullptr};
    for (size_t k = 0; k < wanted; k++)
      stack.push_back(to_ivalue(target, k, k < static_cast<size_t>(count) ? arguments[k] : left_out));
    target.handle.callBoxed(&stack);
    return hand_back(stack, results, capacity);
  });
}

IMTA_API int imta_operator_results(Tensor** results, int count) {
  return imta::guarded<int>(-1, [&] {
    const int have = static_cast<int>(pending.size());
    for (int k = 0; k < have && k < count; k++) results[k] = imta::to_handle(std::move(pending[k]));
    pending.clear();
    return have;
  });
}
