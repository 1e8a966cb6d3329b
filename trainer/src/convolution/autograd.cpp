// A 3x3 convolution of stride 1, padded by 1, as one libtorch autograd operation. Callbacks compute the result and the gradients; only that
// of a single input is libtorch's.

#include "../shim.h"

#include <ATen/ops/convolution_backward.h>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

struct Shape {
  size_t records, height, width, inputs, outputs;
};

// Each returns 0, or 1 when no instruction set can be chosen; maps are channels-last, weights [outputs, inputs, 3, 3].
struct Kernels {
  int32_t (*forward)(const Shape*, const float* weight, const float* x, float* y);
  int32_t (*input_gradient)(const Shape*, const float* weight, const float* grad_y, float* grad_x);
  int32_t (*weight_gradient)(const Shape*, const float* x, const float* grad_y, float* grad_weight);
};

const char* const REFUSED = "the convolution found no instruction set to run on";

Shape shape_of(const at::Tensor& x, const at::Tensor& weight) {
  const auto extent = [](const at::Tensor& tensor, int64_t axis) { return static_cast<size_t>(tensor.size(axis)); };
  return {extent(x, 0), extent(x, 2), extent(x, 3), extent(weight, 1), extent(weight, 0)};
}

// Values, innermost channels first in memory whatever the tensor says about axes of one element.
at::Tensor channels_last(const at::Tensor& x) { return x.permute({0, 2, 3, 1}).contiguous(); }

class Convolution : public Function<Convolution> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            int64_t kernels_address) {
    ecg::require_float("the operands of the convolution", at::kCPU, {x, weight});
    const auto* kernels = reinterpret_cast<const Kernels*>(kernels_address);
    const at::Tensor maps = channels_last(x);
    const at::Tensor w = weight.contiguous();
    const Shape shape = shape_of(x, w);
    at::Tensor y = at::empty({x.size(0), x.size(2), x.size(3), w.size(0)}, maps.options());
    TORCH_CHECK(kernels->forward(&shape, w.const_data_ptr<float>(), maps.const_data_ptr<float>(),
                                 y.mutable_data_ptr<float>()) == 0,
                REFUSED);
    context->save_for_backward({maps, weight});
    context->saved_data["kernels"] = kernels_address;
    return y.permute({0, 3, 1, 2});
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    ecg::require_first_derivative("the convolution");
    const auto saved = context->get_saved_variables();
    const auto* kernels = reinterpret_cast<const Kernels*>(context->saved_data["kernels"].toInt());
    const at::Tensor& maps = saved[0];
    const at::Tensor& weight = saved[1];
    const at::Tensor x = maps.permute({0, 3, 1, 2});
    const at::Tensor grad_y = channels_last(gradients[0]);
    const Shape shape = shape_of(x, weight);
    at::Tensor grad_x, grad_weight;
    if (context->needs_input_grad(0) && shape.inputs > 1) {
      const at::Tensor w = weight.contiguous();
      grad_x = at::empty_like(maps);
      TORCH_CHECK(kernels->input_gradient(&shape, w.const_data_ptr<float>(), grad_y.const_data_ptr<float>(),
                                          grad_x.mutable_data_ptr<float>()) == 0,
                  REFUSED);
      grad_x = grad_x.permute({0, 3, 1, 2});
    } else if (context->needs_input_grad(0)) {
      grad_x = std::get<0>(at::convolution_backward(grad_y.permute({0, 3, 1, 2}), x, weight, c10::nullopt, {1, 1}, {1, 1}, {1, 1},
                                                    false, {0, 0}, 1, {true, false, false}));
    }
    if (context->needs_input_grad(1)) {
      grad_weight = at::empty(weight.sizes(), maps.options());
      TORCH_CHECK(kernels->weight_gradient(&shape, maps.const_data_ptr<float>(), grad_y.const_data_ptr<float>(),
                                           grad_weight.mutable_data_ptr<float>()) == 0,
                  REFUSED);
    }
    return {grad_x, grad_weight, at::Tensor()};
  }
};

}  // namespace

extern "C" at::Tensor* ecg_convolution(const at::Tensor* x, const at::Tensor* weight, const Kernels* kernels,
                                       char** message) {
  return ecg::guarded(message,
                      [&] { return Convolution::apply(*x, *weight, reinterpret_cast<int64_t>(kernels)); });
}
