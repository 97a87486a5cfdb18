// Processes that work together: libtorch's c10d, by Gloo on the CPU and by NCCL on CUDA devices, as far as this libtorch and its headers have them.
#include "shim.h"

#if defined(IMTA_GLOO) || defined(IMTA_NCCL)
#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <torch/csrc/api/include/torch/version.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#endif
#ifdef IMTA_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif
#ifdef IMTA_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

using at::Tensor;

namespace {

enum Engine : int { Gloo = 1, Nccl = 2 };  // Mirrors Native/ProcessGroup.cs.

#if defined(IMTA_GLOO) || defined(IMTA_NCCL)

#if TORCH_VERSION_MAJOR >= 2
using Group = c10::intrusive_ptr<c10d::Backend>;
#else
using Group = c10::intrusive_ptr<c10d::ProcessGroup>;
#endif
using Store = c10::intrusive_ptr<c10d::Store>;

#ifdef IMTA_GLOO
// The address of this machine by which it reaches `host`: the others reach it there, which its host name need not promise.
std::string address_towards(const std::string& host, int port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) throw std::runtime_error("there is no host " + host);
  std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> all(found, &freeaddrinfo);
  for (addrinfo* one = found; one; one = one->ai_next) {
    const int probe = socket(one->ai_family, SOCK_DGRAM, 0);
    if (probe < 0) continue;
    sockaddr_storage local{};
    socklen_t length = sizeof(local);
    // No packet leaves: connecting a datagram socket only chooses the route.
    const bool routed = connect(probe, one->ai_addr, one->ai_addrlen) == 0 && getsockname(probe, reinterpret_cast<sockaddr*>(&local), &length) == 0;
    close(probe);
    char text[NI_MAXHOST];
    if (routed && getnameinfo(reinterpret_cast<sockaddr*>(&local), length, text, sizeof(text), nullptr, 0, NI_NUMERICHOST) == 0) return text;
  }
  throw std::runtime_error("no network leads to " + host);
}

Group join_gloo(const Store& store, const std::string& host, int port, int rank, int size, std::chrono::milliseconds timeout) {
  auto options = c10d::ProcessGroupGloo::Options::create(timeout);
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  options->devices.push_back(interface && *interface ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
                                                     : c10d::ProcessGroupGloo::createDeviceForHostname(address_towards(host, port)));
  return c10::make_intrusive<c10d::ProcessGroupGloo>(store, rank, size, options);
}
#endif

#ifdef IMTA_NCCL
Group join_nccl(const Store& store, int rank, int size, std::chrono::milliseconds timeout) {
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = 4 * timeout;  // the hosts' exchange misses a process first, and says so in a line; NCCL's own watch ends the program
  return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, rank, size, options);
}
#endif

struct Joined {
  Store store;
  Group group;
};

// Work that was begun reads and writes its tensors until it ends, so all of it ends before the first error goes up.
void wait_for_all(std::vector<c10::intrusive_ptr<c10d::Work>>& works) {
  std::exception_ptr first;
  for (auto& work : works) {
    try {
      work->wait();
    } catch (...) {
      if (!first) first = std::current_exception();
    }
  }
  if (first) std::rethrow_exception(first);
}

#endif

}  // namespace

// Which engines there are, as the sum of their numbers.
IMTA_API int imta_group_engines() {
  int engines = 0;
#ifdef IMTA_GLOO
  engines |= Gloo;
#endif
#ifdef IMTA_NCCL
  engines |= Nccl;
#endif
  return engines;
}

#if defined(IMTA_GLOO) || defined(IMTA_NCCL)

// A store of keys that all processes see; who hosts it listens on the port, any free one for 0, which is given back.
IMTA_API Store* imta_store_new(const char* host, int* port, int hosts, const char* prefix, int64_t timeout_ms) {
  return imta::guarded<Store*>(nullptr, [&] {
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(*port);
    options.isServer = hosts != 0;
    options.waitWorkers = false;  // a group's first meeting waits
    options.timeout = std::chrono::milliseconds(timeout_ms);
    auto store = c10::make_intrusive<c10d::TCPStore>(host, options);
    *port = store->getPort();
    return new Store(*prefix ? Store(c10::make_intrusive<c10d::PrefixStore>(prefix, store)) : Store(store));
  });
}

IMTA_API void imta_store_free(Store* store) {
  imta::guarded<int>(-1, [&] {
    delete store;
    return 0;
  });
}

// The group of `size` processes, once all have come. `host` and `port` are the store's.
IMTA_API Joined* imta_group_new(Store* store, int engine, const char* host, int port, int rank, int size, int64_t timeout_ms) {
  return imta::guarded<Joined*>(nullptr, [&]() -> Joined* {
    const std::chrono::milliseconds timeout(timeout_ms);
    Store own = c10::make_intrusive<c10d::PrefixStore>("engine" + std::to_string(engine), imta::defined(store));
#ifdef IMTA_GLOO
    if (engine == Gloo) return new Joined{own, join_gloo(own, host, port, rank, size, timeout)};
#endif
#ifdef IMTA_NCCL
    if (engine == Nccl) return new Joined{own, join_nccl(own, rank, size, timeout)};
#endif
    throw std::invalid_argument("this build has no engine " + std::to_string(engine) + " to join processes by");
  });
}

IMTA_API void imta_group_free(Joined* joined) {
  imta::guarded<int>(-1, [&] {
    delete joined;
    return 0;
  });
}

// Replaces each tensor by its sum over all processes.
IMTA_API int imta_group_sum(Joined* joined, Tensor** handles, int count) {
  return imta::guarded<int>(-1, [&] {
    auto& group = imta::defined(joined).group;
    std::vector<c10::intrusive_ptr<c10d::Work>> works;
    try {
      for (int k = 0; k < count; k++) {
        std::vector<Tensor> one{imta::defined(handles[k])};
        works.push_back(group->allreduce(one));
      }
    } catch (...) {
      const std::exception_ptr first = std::current_exception();
      try {
        wait_for_all(works);
      } catch (...) {
      }
      std::rethrow_exception(first);
    }
    wait_for_all(works);
    return 0;
  });
}

// Replaces the tensor by that of process `root`.
IMTA_API int imta_group_broadcast(Joined* joined, Tensor* tensor, int root) {
  return imta::guarded<int>(-1, [&] {
    std::vector<Tensor> one{imta::defined(tensor)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    imta::defined(joined).group->broadcast(one, options)->wait();
    return 0;
  });
}

#endif
