// Where autograd meets other processes: a hook on finished gradients, and a sum over processes that is differentiable.

#include "../shim.h"

#include <torch/csrc/autograd/variable.h>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

struct Ready : torch::autograd::PostAccumulateGradHook {
  using Call = int32_t (*)(const void* reducer, size_t index);
  using Release = void (*)(const void* reducer);

  Ready(const void* reducer, size_t index, Call call, Release release)
      : reducer(reducer), index(index), call(call), release(release) {}
  ~Ready() override { release(reducer); }
  void operator()(const at::Tensor&) override {
    TORCH_CHECK(call(reducer, index) == 0, "a gradient could not be summed over the processes");
  }

  const void* reducer;
  size_t index;
  Call call;
  Release release;
};

using Sum = int32_t (*)(const void* group, const at::Tensor* values);

at::Tensor summed(const ecg::Peers& peers, int64_t sum, const at::Tensor& x) {
  at::Tensor y = x.clone(at::MemoryFormat::Contiguous);
  TORCH_CHECK(reinterpret_cast<Sum>(sum)(peers.group, &y) == 0, "a sum over the processes failed");
  return y;
}

// Every process's result depends on every process's input, so the gradient is the sum of all processes' gradients.
class SumOverProcesses : public Function<SumOverProcesses> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const ecg::PeersPointer& peers, int64_t sum) {
    ecg::save(context, peers);
    context->saved_data["sum"] = sum;
    return summed(*peers, sum, x);
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    ecg::require_first_derivative("a sum over the processes");
    const ecg::PeersPointer peers = ecg::saved_peers(context);
    return {summed(*peers, context->saved_data["sum"].toInt(), gradients[0]), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

extern "C" {

// Calls `call` whenever the gradient of the leaf `weight` is complete; takes over one reference to `reducer`.
int32_t ecg_on_gradient(const at::Tensor* weight, const void* reducer, size_t index, Ready::Call call,
                        Ready::Release release, char** message) {
  auto hook = std::make_unique<Ready>(reducer, index, call, release);
  return ecg::attempt(message, [&] { torch::autograd::impl::set_post_acc_grad_hooks(*weight, std::move(hook)); });
}

int32_t ecg_forget_gradient(const at::Tensor* weight, char** message) {
  return ecg::attempt(message, [&] { torch::autograd::impl::set_post_acc_grad_hooks(*weight, nullptr); });
}

// Takes over one reference to `group`.
at::Tensor* ecg_sum_over_processes(const at::Tensor* x, const void* group, ecg::Peers::Release release, Sum sum,
                                   char** message) {
  return ecg::guarded(message, [&] {
    return SumOverProcesses::apply(*x, ecg::peers(group, release), reinterpret_cast<int64_t>(sum));
  });
}
}
