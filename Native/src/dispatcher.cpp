// libtorch's boxed dispatcher behind a C interface: find an operator by its schema name, push tagged arguments, call, hand back
// handles. Every ATen operator is reachable this way, with autograd, double backward and CUDA, and no more C++.
#include "shim.h"

#include <ATen/core/Generator.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <limits>
#include <vector>

namespace {

using at::Tensor;
using c10::IValue;
using Kind = c10::TypeKind;

// Mirrors Native/Argument.cs. The count is that of a list's elements, or of a text's bytes.
struct Argument {
  int32_t tag;
  int32_t count;
  int64_t integer;
  double real;
  void* pointer;
};

enum Tag : int32_t { None, TensorTag, Int, Real, Bool, IntList, TensorList, Text, DeviceTag, RealList, GeneratorTag, BoolList, Default };

// What the schema asks for at one place, taken apart once.
struct Parameter {
  Kind kind;                       // of the value, inside the optional
  Kind element = Kind::NoneType;   // of a list's elements, inside their optional
  bool optional = false;           // may be none
  bool optional_elements = false;  // a list whose elements may be none
  bool scalar_type = false;        // an integer that stands for an element type
};

struct Operator {
  c10::OperatorHandle handle;
  std::string name;
  std::vector<Parameter> parameters;
};

// Results of the last call on this thread that did not fit into the caller's buffer.
thread_local std::vector<Tensor> pending;

const c10::Type& inside_optional(const c10::Type& type) {
  return type.kind() == Kind::OptionalType ? *type.castRaw<c10::OptionalType>()->getElementType() : type;
}

Parameter parameter_of(const c10::Argument& argument) {
  const c10::Type& type = inside_optional(*argument.type());
  Parameter parameter{type.kind()};
  parameter.optional = argument.type()->kind() == Kind::OptionalType || type.kind() == Kind::NoneType;
  parameter.scalar_type = inside_optional(*argument.real_type()).kind() == Kind::ScalarTypeType;
  if (const auto* list = type.castRaw<c10::ListType>()) {
    parameter.element = inside_optional(*list->getElementType()).kind();
    parameter.optional_elements = list->getElementType()->kind() == Kind::OptionalType;
  }
  return parameter;
}

[[noreturn]] void reject(const Operator& op, size_t index, const std::string& what) {
  const auto& argument = op.handle.schema().arguments()[index];
  throw std::invalid_argument(op.name + ": argument " + std::to_string(index) + " (" + argument.name() + ": " +
                              argument.type()->str() + ") cannot be " + what);
}

// A wrong kind of argument stops here, before libtorch could trip over it.
void demand(bool fits, const Operator& op, size_t index, const char* what) {
  if (!fits) reject(op, index, what);
}

IValue tensor_list(const Operator& op, size_t index, const Argument& a) {
  auto** handles = static_cast<Tensor**>(a.pointer);
  if (op.parameters[index].optional_elements) {
    c10::List<c10::optional<Tensor>> list;
    list.reserve(a.count);
    for (int k = 0; k < a.count; k++) list.push_back(handles[k] ? c10::optional<Tensor>(*handles[k]) : c10::nullopt);
    return IValue(std::move(list));
  }
  c10::List<Tensor> list;
  list.reserve(a.count);
  for (int k = 0; k < a.count; k++) {
    demand(handles[k] != nullptr, op, index, "a list with an undefined tensor");
    list.push_back(*handles[k]);
  }
  return IValue(std::move(list));
}

template <typename Element, typename Source>
IValue scalar_list(const Argument& a) {
  c10::List<Element> list;
  list.reserve(a.count);
  const auto* source = static_cast<const Source*>(a.pointer);
  for (int k = 0; k < a.count; k++) list.push_back(static_cast<Element>(source[k]));
  return IValue(std::move(list));
}

IValue integer(const Operator& op, size_t index, int64_t value) {
  const Parameter& parameter = op.parameters[index];
  switch (parameter.kind) {
    case Kind::IntType:
      // libtorch looks element types up in a table without asking whether they are in it.
      if (parameter.scalar_type && (value < 0 || value >= static_cast<int64_t>(at::ScalarType::NumOptions)))
        reject(op, index, std::to_string(value) + ", which is no element type");
      return IValue(value);
    case Kind::NumberType:
      return IValue(value);
    case Kind::FloatType:
      return IValue(static_cast<double>(value));
    default:
      reject(op, index, "an integer");
  }
}

IValue device(const Operator& op, size_t index, const Argument& a) {
  demand(op.parameters[index].kind == Kind::DeviceObjType, op, index, "a device");
  if (a.integer < 0 || a.integer >= c10::COMPILE_TIME_MAX_DEVICE_TYPES || a.count < -1 || a.count > std::numeric_limits<c10::DeviceIndex>::max())
    reject(op, index, "the device of type " + std::to_string(a.integer) + ", index " + std::to_string(a.count));
  return IValue(c10::Device(static_cast<c10::DeviceType>(a.integer), static_cast<c10::DeviceIndex>(a.count)));
}

// The value for argument `index`, converted to what the schema asks for.
IValue to_ivalue(const Operator& op, size_t index, const Argument& a) {
  const Parameter& parameter = op.parameters[index];
  const bool list = parameter.kind == Kind::ListType;
  switch (a.tag) {
    case None:
      if (parameter.optional) return IValue();
      demand(parameter.kind == Kind::TensorType, op, index, "none");
      return IValue(Tensor());
    case Default: {
      const auto& value = op.handle.schema().arguments()[index].default_value();
      demand(value.has_value(), op, index, "left out");
      return *value;
    }
    case TensorTag:
      demand(parameter.kind == Kind::TensorType, op, index, "a tensor");
      return IValue(imta::defined(static_cast<Tensor*>(a.pointer)));
    case Int:
      return integer(op, index, a.integer);
    case Real:
      demand(parameter.kind == Kind::FloatType || parameter.kind == Kind::NumberType, op, index, "a real number");
      return IValue(a.real);
    case Bool:
      demand(parameter.kind == Kind::BoolType || parameter.kind == Kind::NumberType, op, index, "a truth value");
      return IValue(a.integer != 0);
    case IntList:
      demand(list && parameter.element == Kind::IntType, op, index, "a list of integers");
      return scalar_list<int64_t, int64_t>(a);
    case RealList:
      demand(list && parameter.element == Kind::FloatType, op, index, "a list of real numbers");
      return scalar_list<double, double>(a);
    case BoolList:
      demand(list && parameter.element == Kind::BoolType, op, index, "a list of truth values");
      return scalar_list<bool, int64_t>(a);
    case TensorList:
      demand(list && parameter.element == Kind::TensorType, op, index, "a list of tensors");
      return tensor_list(op, index, a);
    case Text:
      demand(parameter.kind == Kind::StringType, op, index, "a text");
      return IValue(std::string(static_cast<const char*>(a.pointer), a.count));
    case DeviceTag:
      return device(op, index, a);
    case GeneratorTag:
      demand(parameter.kind == Kind::GeneratorType, op, index, "a random generator");
      return IValue(imta::defined(static_cast<at::Generator*>(a.pointer)));
    default:
      reject(op, index, "of tag " + std::to_string(a.tag));
  }
}

std::vector<Tensor> tensors_of(const Operator& op, std::vector<IValue>& stack) {
  std::vector<Tensor> tensors;
  for (auto& value : stack) {
    if (value.isTensor()) tensors.push_back(std::move(value).toTensor());
    else if (value.isTensorList())
      for (const Tensor& tensor : value.toTensorVector()) tensors.push_back(tensor);
    else if (value.isNone()) tensors.emplace_back();
    else throw std::runtime_error(op.name + ": a result is no tensor but " + value.tagKind());
  }
  return tensors;
}

int hand_back(const Operator& op, std::vector<IValue>& stack, Tensor** results, int capacity) {
  if (stack.size() == 1 && stack[0].isTensor() && capacity > 0) {  // nearly all operators
    results[0] = imta::to_handle(std::move(stack[0]).toTensor());
    return 1;
  }
  std::vector<Tensor> tensors = tensors_of(op, stack);
  const int count = static_cast<int>(tensors.size());
  if (count > capacity) pending = std::move(tensors);
  else imta::to_handles(std::move(tensors), results);
  return count;
}

}  // namespace

// The operator `name` (such as "aten::add") with `overload` ("" or such as "Tensor"), or null.
IMTA_API void* imta_operator_find(const char* name, const char* overload) {
  return imta::guarded<void*>(nullptr, [&]() -> void* {
    auto handle = c10::Dispatcher::singleton().findSchemaOrThrow(name, overload);
    std::vector<Parameter> parameters;
    for (const auto& argument : handle.schema().arguments()) parameters.push_back(parameter_of(argument));
    std::string full = *overload ? std::string(name) + "." + overload : std::string(name);
    return new Operator{handle, std::move(full), std::move(parameters)};
  });
}

// Calls `op`; arguments that are left out at the end take the schema's defaults. Returns the number of results, -1 on failure. More
// results than `capacity` wait for imta_operator_results.
IMTA_API int imta_operator_call(void* op, const Argument* arguments, int count, Tensor** results, int capacity) {
  return imta::guarded<int>(-1, [&] {
    const auto& target = *static_cast<Operator*>(op);
    const size_t wanted = target.parameters.size();
    if (static_cast<size_t>(count) > wanted)
      throw std::invalid_argument(target.name + ": takes at most " + std::to_string(wanted) + " arguments, not " + std::to_string(count));
    pending.clear();
    std::vector<IValue> stack;
    stack.reserve(wanted);
    static const Argument left_out{Default, 0, 0, 0, nullptr};
    for (size_t k = 0; k < wanted; k++)
      stack.push_back(to_ivalue(target, k, k < static_cast<size_t>(count) ? arguments[k] : left_out));
    target.handle.callBoxed(&stack);
    return hand_back(target, stack, results, capacity);
  });
}

// The results that the last call on this thread left waiting; `count` is the number that it returned.
IMTA_API int imta_operator_results(Tensor** results, int count) {
  return imta::guarded<int>(-1, [&] {
    std::vector<Tensor> waiting = std::move(pending);
    pending.clear();
    if (static_cast<int>(waiting.size()) != count)
      throw std::logic_error(std::to_string(waiting.size()) + " results wait for this thread, not " + std::to_string(count));
    imta::to_handles(std::move(waiting), results);
    return count;
  });
}
