// c10d's TCPStore and ProcessGroupGloo, and CUDA's streams, behind plain functions.
//
// Every function that can fail returns null or -1 and a message to be freed with `ecg_free_message`.

#include "../shim.h"

#include <c10/core/Event.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <mutex>

namespace {

using std::chrono::milliseconds;

struct Store {
  c10::intrusive_ptr<c10d::TCPStore> store;
};

struct Gloo {
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group;
};

struct Work {
  c10::intrusive_ptr<c10d::Work> work;
};

// A stream beside torch's current one, and the event that lets one wait for the other.
struct SideStream {
  c10::Stream stream;
  c10::Event event;
};

const c10::impl::DeviceGuardImplInterface* cuda() { return c10::impl::getDeviceGuardImpl(c10::DeviceType::CUDA); }

c10::Device cuda_device(int32_t index) { return {c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index)}; }

// Starts work on a group. One at a time, whatever the group: a group's first work enters it into the map of libtorch's flight recorder, which holds
// no lock there (2.11, FlightRecorderDetail.hpp), and two groups at once may spoil the map.
template <typename Start>
Work* started(char** message, Start start) {
  static std::mutex one_at_a_time;
  return ecg::made<Work>(message, [&] {
    const std::lock_guard<std::mutex> guard(one_at_a_time);
    return Work{start()};
  });
}

}  // namespace

extern "C" {

// Serves a store at `port` (0: a free one), or connects to one; `bound_port` tells which it became.
Store* ecg_store_open(const char* host, uint16_t port, bool is_server, int64_t timeout, uint16_t* bound_port,
                      char** message) {
  return ecg::made<Store>(message, [&] {
    // Without this TORCH_CPP_LOG_LEVEL is not heard, and lost connections are told in pages.
    c10::initLogging();
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = is_server;
    options.waitWorkers = false;
    options.timeout = milliseconds(timeout);
    auto store = c10::make_intrusive<c10d::TCPStore>(host, options);
    *bound_port = store->getPort();
    return Store{std::move(store)};
  });
}

int32_t ecg_store_add(Store* store, const char* key, int64_t value, int64_t* sum, char** message) {
  return ecg::attempt(message, [&] { *sum = store->store->add(key, value); });
}

int32_t ecg_store_set(Store* store, const char* key, const uint8_t* value, size_t length, char** message) {
  return ecg::attempt(message, [&] { store->store->set(key, std::vector<uint8_t>(value, value + length)); });
}

// Waits for the key, whose value must have `length` bytes.
int32_t ecg_store_get(Store* store, const char* key, uint8_t* value, size_t length, char** message) {
  return ecg::attempt(message, [&] {
    const std::vector<uint8_t> found = store->store->get(key);
    TORCH_CHECK(found.size() == length, "the store has ", found.size(), " bytes of ", key, ", not ", length);
    std::copy(found.begin(), found.end(), value);
  });
}

void ecg_store_close(Store* store) { delete store; }

// One of `interface` and `address` may be given; with neither, libtorch chooses by the machine's name.
Gloo* ecg_gloo_join(Store* store, const char* prefix, int32_t rank, int32_t size, const char* interface,
                    const char* address, int64_t timeout, int32_t threads, char** message) {
  return ecg::made<Gloo>(message, [&] {
    using c10d::ProcessGroupGloo;
    auto options = ProcessGroupGloo::Options::create(milliseconds(timeout));
    options->threads = threads;
    options->devices.push_back(interface != nullptr ? ProcessGroupGloo::createDeviceForInterface(interface)
                               : address != nullptr ? ProcessGroupGloo::createDeviceForHostname(address)
                                                    : ProcessGroupGloo::createDefaultDevice());
    c10::intrusive_ptr<c10d::Store> named = c10::make_intrusive<c10d::PrefixStore>(prefix, store->store);
    return Gloo{c10::make_intrusive<ProcessGroupGloo>(named, rank, size, options)};
  });
}

Work* ecg_gloo_all_reduce(Gloo* gloo, const at::Tensor* values, char** message) {
  return started(message, [&] {
    std::vector<at::Tensor> tensors{*values};
    return gloo->group->allreduce(tensors);
  });
}

Work* ecg_gloo_broadcast(Gloo* gloo, const at::Tensor* values, int32_t root, char** message) {
  return started(message, [&] {
    std::vector<at::Tensor> tensors{*values};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    return gloo->group->broadcast(tensors, options);
  });
}

void ecg_gloo_leave(Gloo* gloo) { delete gloo; }

// 0 when done, 1 when not done after `timeout`, -1 when it failed.
int32_t ecg_work_wait(Work* work, int64_t timeout, char** message) {
  try {
    work->work->wait(milliseconds(timeout));
    return 0;
  } catch (const std::exception&) {
    if (!work->work->isCompleted()) return 1;
  } catch (...) {
    if (!work->work->isCompleted()) return 1;
  }
  // Completed, if only just now: what it says itself counts.
  return ecg::attempt(message, [&] {
    if (auto exception = work->work->exception()) std::rethrow_exception(exception);
  });
}

void ecg_work_free(Work* work) { delete work; }

// Makes the CUDA device the thread's current one and returns its current stream, a cudaStream_t.
void* ecg_cuda_stream(int32_t device, char** message) {
  void* stream = nullptr;
  ecg::attempt(message, [&] {
    cuda()->setDevice(cuda_device(device));
    stream = cuda()->getStreamNativeHandle(cuda()->getStream(cuda_device(device)));
  });
  return stream;
}

SideStream* ecg_side_stream_new(int32_t device, char** message) {
  return ecg::made<SideStream>(message, [&] {
    return SideStream{cuda()->getNewStream(cuda_device(device)), c10::Event(c10::DeviceType::CUDA)};
  });
}

// The stream, which first waits for what the current stream has been given so far.
void* ecg_side_stream_enter(SideStream* side, char** message) {
  void* stream = nullptr;
  ecg::attempt(message, [&] {
    cuda()->setDevice(side->stream.device());
    side->event.record(cuda()->getStream(side->stream.device()));
    side->event.block(side->stream);
    stream = cuda()->getStreamNativeHandle(side->stream);
  });
  return stream;
}

// Lets the current stream wait for what the side stream has been given so far.
int32_t ecg_side_stream_join(SideStream* side, char** message) {
  return ecg::attempt(message, [&] {
    side->event.record(side->stream);
    side->event.block(cuda()->getStream(side->stream.device()));
  });
}

void ecg_side_stream_free(SideStream* side) { delete side; }
}
