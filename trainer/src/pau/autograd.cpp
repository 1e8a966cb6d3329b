// The Padé activation unit as a libtorch autograd operation whose arithmetic is done by callbacks.
//
// Forward saves its input and the coefficients, nothing else. Every function returns nullptr and a message to be
// freed with `ecg_free_message` when libtorch throws.

#include "../shim.h"

namespace {

using ecg::Coefficients;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

using Forward = int32_t (*)(const Coefficients*, const float* x, float* y, size_t length);
using Backward = int32_t (*)(const Coefficients*, const float* x, const float* grad_y, float* grad_x, size_t length,
                             float* grad_numerator, float* grad_denominator);

struct Kernels {
  Forward forward;
  Backward backward;
};

// The same values in memory without holes, in whatever order of axes the tensor has.
at::Tensor dense(const at::Tensor& x) { return x.is_non_overlapping_and_dense() ? x : x.contiguous(); }

at::Tensor in_order_of(const at::Tensor& order, const at::Tensor& x) {
  return x.strides() == order.strides() ? x : at::empty_like(order).copy_(x);
}

class Pade : public Function<Pade> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, const at::Tensor& numerator,
                            const at::Tensor& denominator, int64_t kernels_address) {
    ecg::require_cpu_float(input);
    const auto* kernels = reinterpret_cast<const Kernels*>(kernels_address);
    const at::Tensor x = dense(input);
    const at::Tensor p = numerator.contiguous();
    const at::Tensor q = denominator.contiguous();
    at::Tensor y = at::empty_like(x);
    const Coefficients c = ecg::coefficients(p, q);
    TORCH_CHECK(kernels->forward(&c, x.const_data_ptr<float>(), y.mutable_data_ptr<float>(), x.numel()) == 0,
                "the Pade activation refused its coefficients");
    context->save_for_backward({x, p, q});
    context->saved_data["kernels"] = kernels_address;
    return y;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto* kernels = reinterpret_cast<const Kernels*>(context->saved_data["kernels"].toInt());
    const at::Tensor& x = saved[0];
    const at::Tensor grad_y = in_order_of(x, gradients[0]);
    at::Tensor grad_x = at::empty_like(x);
    at::Tensor grad_numerator = at::empty_like(saved[1]);
    at::Tensor grad_denominator = at::empty_like(saved[2]);
    const Coefficients c = ecg::coefficients(saved[1], saved[2]);
    TORCH_CHECK(kernels->backward(&c, x.const_data_ptr<float>(), grad_y.const_data_ptr<float>(),
                                  grad_x.mutable_data_ptr<float>(), x.numel(),
                                  grad_numerator.mutable_data_ptr<float>(),
                                  grad_denominator.mutable_data_ptr<float>()) == 0,
                "the Pade activation refused its coefficients");
    return {grad_x, grad_numerator, grad_denominator, at::Tensor()};
  }
};

}  // namespace

extern "C" {

at::Tensor* ecg_pau(const at::Tensor* x, const at::Tensor* numerator, const at::Tensor* denominator,
                    const Kernels* kernels, char** message) {
  return ecg::guarded(
      message, [&] { return Pade::apply(*x, *numerator, *denominator, reinterpret_cast<int64_t>(kernels)); });
}

void ecg_free_message(char* message) { free(message); }
}
