// A 3×3 convolution as a libtorch autograd operation: libtorch's own but for the gradient of the weights, which a callback
// computes.

#include "../shim.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/empty_like.h>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

struct Extents {
  size_t records, height, width, inputs, outputs;
};

using WeightGradient = int32_t (*)(const Extents*, const float* x, const float* grad_y, float* grad_weight);

class Convolution : public Function<Convolution> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            int64_t kernel_address) {
    ecg::require_cpu_float(x);
    ecg::require_cpu_float(weight);
    at::Tensor y = at::conv2d(x, weight, {}, {1, 1}, {1, 1});
    context->save_for_backward({x, weight});
    context->saved_data["kernel"] = kernel_address;
    return y;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto kernel = reinterpret_cast<WeightGradient>(context->saved_data["kernel"].toInt());
    const at::Tensor x = saved[0].contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor& weight = saved[1];
    const at::Tensor grad_y = gradients[0].contiguous(at::MemoryFormat::ChannelsLast);
    at::Tensor grad_x, grad_weight;
    if (context->needs_input_grad(0)) {
      grad_x = std::get<0>(at::convolution_backward(grad_y, x, weight, {}, {1, 1}, {1, 1}, {1, 1}, false, {0, 0}, 1,
                                                    {true, false, false}));
    }
    if (context->needs_input_grad(1)) {
      grad_weight = at::empty_like(weight, weight.options(), at::MemoryFormat::ChannelsLast);
      const auto extent = [](const at::Tensor& tensor, int64_t axis) { return static_cast<size_t>(tensor.size(axis)); };
      const Extents extents{extent(x, 0), extent(x, 2), extent(x, 3), extent(x, 1), extent(weight, 0)};
      TORCH_CHECK(kernel(&extents, x.const_data_ptr<float>(), grad_y.const_data_ptr<float>(),
                         grad_weight.mutable_data_ptr<float>()) == 0,
                  "the convolution found no instruction set to run on");
    }
    return {grad_x, grad_weight, at::Tensor()};
  }
};

}  // namespace

extern "C" at::Tensor* ecg_convolution(const at::Tensor* x, const at::Tensor* weight, WeightGradient kernel,
                                       char** message) {
  return ecg::guarded(message,
                      [&] { return Convolution::apply(*x, *weight, reinterpret_cast<int64_t>(kernel)); });
}
