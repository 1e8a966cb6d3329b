// The Padé activation unit as a libtorch autograd operation whose arithmetic is done by callbacks, on whatever device they are for.
//
// Forward saves its input and the coefficients, nothing else. The callbacks get pointers into the tensors and the stream that libtorch
// queues work on at that moment: nothing is copied and nothing waits.

#include "../shim.h"

namespace {

using ecg::coefficients;
using ecg::Coefficients;
using ecg::MESSAGE;
using ecg::place;
using ecg::Place;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

using Forward = int32_t (*)(const Place*, const Coefficients*, const void* x, void* y, size_t length, char* message);
// How many float32 values `partials` must have room for.
using Partials = size_t (*)(const Place*, const Coefficients*, size_t length);
using Backward = int32_t (*)(const Place*, const Coefficients*, const void* x, const void* grad_y, void* grad_x, size_t length,
                             float* partials, float* grad_numerator, float* grad_denominator, char* message);

struct Kernels {
  Forward forward;
  Partials partials;
  Backward backward;
};

// The same values in memory without holes, in whatever order of axes the tensor has.
at::Tensor dense(const at::Tensor& x) { return x.is_non_overlapping_and_dense() ? x : x.contiguous(); }

at::Tensor in_order_of(const at::Tensor& order, const at::Tensor& x) {
  const bool same = x.strides() == order.strides() && x.scalar_type() == order.scalar_type() && x.device() == order.device();
  return same ? x : at::empty_like(order).copy_(x);
}

class Pade : public Function<Pade> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, const at::Tensor& numerator,
                            const at::Tensor& denominator, int64_t kernels_address) {
    const auto* kernels = reinterpret_cast<const Kernels*>(kernels_address);
    const c10::OptionalDeviceGuard guard(input.device());
    const at::Tensor x = dense(input);
    const at::Tensor p = numerator.contiguous();
    const at::Tensor q = denominator.contiguous();
    at::Tensor y = at::empty_like(x);
    const Place at_place = place(x);
    const Coefficients c = coefficients(x, p, q);
    char message[MESSAGE] = "";
    const size_t length = x.numel();
    TORCH_CHECK(kernels->forward(&at_place, &c, x.const_data_ptr(), y.mutable_data_ptr(), length, message) == 0, message);
    context->save_for_backward({x, p, q});
    context->saved_data["kernels"] = kernels_address;
    return y;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    ecg::require_first_derivative("the Pade activation");
    const auto saved = context->get_saved_variables();
    const auto* kernels = reinterpret_cast<const Kernels*>(context->saved_data["kernels"].toInt());
    const at::Tensor& x = saved[0];
    const c10::OptionalDeviceGuard guard(x.device());
    const at::Tensor grad_y = in_order_of(x, gradients[0]);
    at::Tensor grad_x = at::empty_like(x);
    at::Tensor grad_numerator = at::empty_like(saved[1]);
    at::Tensor grad_denominator = at::empty_like(saved[2]);
    const Place at_place = place(x);
    const Coefficients c = coefficients(x, saved[1], saved[2]);
    const size_t length = x.numel();
    const auto partials_length = static_cast<int64_t>(kernels->partials(&at_place, &c, length));
    at::Tensor partials = at::empty({partials_length}, saved[1].options());
    char message[MESSAGE] = "";
    TORCH_CHECK(kernels->backward(&at_place, &c, x.const_data_ptr(), grad_y.const_data_ptr(), grad_x.mutable_data_ptr(), length,
                                  partials.mutable_data_ptr<float>(), grad_numerator.mutable_data_ptr<float>(),
                                  grad_denominator.mutable_data_ptr<float>(), message) == 0,
                message);
    return {grad_x, grad_numerator, grad_denominator, at::Tensor()};
  }
};

}  // namespace

extern "C" at::Tensor* ecg_pau(const at::Tensor* x, const at::Tensor* numerator, const at::Tensor* denominator,
                               const Kernels* kernels, char** message) {
  return ecg::guarded(
      message, [&] { return Pade::apply(*x, *numerator, *denominator, reinterpret_cast<int64_t>(kernels)); });
}
