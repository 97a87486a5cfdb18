// Time per operator: libtorch calls back where an operator, or a node of a backward pass, starts and ends, on the thread that runs it.
#include "shim.h"

#include <ATen/record_function.h>
#include <torch/csrc/api/include/torch/cuda.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

namespace {

using Clock = std::chrono::steady_clock;

struct Total {
  int64_t calls = 0;
  Clock::duration self{0};
};

// A call that runs; those of a thread lie within each other.
struct Call : at::ObserverContext {
  Call* outer;
  Clock::duration nested{0};
  Clock::time_point start;
};

thread_local Call* innermost = nullptr;

std::mutex lock;
at::CallbackHandle running = at::INVALID_CALLBACK_HANDLE;
std::atomic<bool> waits_for_device{false};
std::unordered_map<std::string, Total> totals;
std::vector<std::pair<std::string, Total>> results;

std::unique_ptr<at::ObserverContext> on_start(const at::RecordFunction&) {
  auto call = std::make_unique<Call>();
  call->outer = innermost;
  innermost = call.get();
  call->start = Clock::now();
  return call;
}

void on_end(const at::RecordFunction& function, at::ObserverContext* context) {
  auto* call = static_cast<Call*>(context);
  if (waits_for_device) torch::cuda::synchronize();
  const Clock::duration whole = Clock::now() - call->start;
  innermost = call->outer;
  if (innermost) innermost->nested += whole;
  std::lock_guard<std::mutex> guard(lock);
  Total& total = totals[function.name()];
  total.calls++;
  total.self += whole - call->nested;
}

}  // namespace

// From here on calls are counted and timed, on all threads. With `wait` each waits for its work on the current CUDA device.
IMTA_API int imta_profiler_start(int wait) {
  return imta::guarded<int>(-1, [&] {
    std::lock_guard<std::mutex> guard(lock);
    if (running != at::INVALID_CALLBACK_HANDLE) throw std::logic_error("operators are being timed already");
    totals.clear();
    waits_for_device = wait != 0;
    running = at::addGlobalCallback(
        at::RecordFunctionCallback(on_start, on_end).scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
    return 0;
  });
}

// The number of operators that were called; no operator may run.
IMTA_API int imta_profiler_stop() {
  return imta::guarded<int>(-1, [] {
    std::lock_guard<std::mutex> guard(lock);
    if (running == at::INVALID_CALLBACK_HANDLE) throw std::logic_error("operators are not being timed");
    at::removeCallback(running);
    running = at::INVALID_CALLBACK_HANDLE;
    results.assign(totals.begin(), totals.end());
    return static_cast<int>(results.size());
  });
}

// One of the operators; the name is valid until the next stop.
IMTA_API int imta_profiler_result(int index, const char** name, int64_t* calls, int64_t* nanoseconds) {
  return imta::guarded<int>(-1, [&] {
    const auto& result = results.at(index);
    *name = result.first.c_str();
    *calls = result.second.calls;
    *nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(result.second.self).count();
    return 0;
  });
}
