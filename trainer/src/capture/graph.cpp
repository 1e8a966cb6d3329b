// libtorch's own CUDA graphs, whose names are looked up in its CUDA half when that has been loaded: the program is linked without it.

#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <utility>

#include "../shim.h"

namespace {

// c10::MempoolId_t, which is declared among CUDA's headers.
using Pool = std::pair<unsigned long long, unsigned long long>;
// cudaStreamCaptureModeThreadLocal: what other threads do with CUDA meanwhile is their own business.
constexpr int THREAD_LOCAL = 1;

// A function of libtorch's CUDA half by its name in the library.
template <typename Function>
Function find(const char* name) {
  void* symbol = dlsym(RTLD_DEFAULT, name);
  TORCH_CHECK(symbol != nullptr, "libtorch's CUDA library has no ", name, "; it is not that of PyTorch 2.11");
  return reinterpret_cast<Function>(symbol);
}

// An at::cuda::CUDAGraph, of which only the functions are known here: it has some 150 bytes.
class Graph {
 public:
  Graph() : destroy_(find<void (*)(void*)>("_ZN2at4cuda9CUDAGraphD1Ev")) {
    find<void (*)(void*, bool)>("_ZN2at4cuda9CUDAGraphC1Eb")(memory_, false);
  }
  ~Graph() { destroy_(memory_); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void begin() {
    find<void (*)(void*, Pool, int)>("_ZN2at4cuda9CUDAGraph13capture_beginESt4pairIyyE21cudaStreamCaptureMode")(
        memory_, Pool(0, 0), THREAD_LOCAL);
  }
  void end() { find<void (*)(void*)>("_ZN2at4cuda9CUDAGraph11capture_endEv")(memory_); }
  void replay() { find<void (*)(void*)>("_ZN2at4cuda9CUDAGraph6replayEv")(memory_); }

 private:
  alignas(64) unsigned char memory_[4096];
  void (*destroy_)(void*);
};

}  // namespace

extern "C" {

// Gives this thread a stream of its own, as recording needs; returns when what the stream before was given is done.
int32_t ecg_use_own_stream(int32_t index, char** message) {
  return ecg::attempt(message, [&] {
    const c10::impl::VirtualGuardImpl cuda(c10::DeviceType::CUDA);
    const c10::Device device(c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(index));
    cuda.setDevice(device);
    cuda.synchronizeStream(cuda.getStream(device));
    cuda.exchangeStream(cuda.getStreamFromGlobalPool(device));
  });
}

// Uninitialized float32 numbers in page-locked memory of the processor.
at::Tensor* ecg_page_locked(const int64_t* sizes, size_t axes, char** message) {
  return ecg::guarded(message, [&] {
    return at::empty(at::IntArrayRef(sizes, axes), at::TensorOptions().dtype(at::kFloat).pinned_memory(true));
  });
}

Graph* ecg_graph_new(char** message) {
  Graph* graph = nullptr;
  ecg::attempt(message, [&] { graph = new Graph(); });
  return graph;
}

int32_t ecg_graph_begin(Graph* graph, char** message) {
  return ecg::attempt(message, [&] { graph->begin(); });
}

int32_t ecg_graph_end(Graph* graph, char** message) {
  return ecg::attempt(message, [&] { graph->end(); });
}

int32_t ecg_graph_replay(Graph* graph, char** message) {
  return ecg::attempt(message, [&] { graph->replay(); });
}

void ecg_graph_free(Graph* graph) {
  char* message = nullptr;
  if (ecg::attempt(&message, [&] { delete graph; }) != 0) free(message);
}
}
