// The Padé activation unit as a libtorch autograd operation whose arithmetic is done by callbacks, on whatever device they are for.
//
// Forward saves its input and the coefficients, nothing else. The callbacks get pointers into the tensors and the stream that libtorch
// queues work on at that moment: nothing is copied and nothing waits. Every function returns nullptr and a message to be freed with
// `ecg_free_message` when libtorch throws.

#include <c10/core/impl/VirtualGuardImpl.h>

#include "../shim.h"

namespace {

using ecg::Coefficients;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

// Where an operation runs. `element` is 0 for float32, 1 for float16, 2 for bfloat16; `stream` is null on the CPU.
struct Place {
  int32_t device;
  int32_t element;
  void* stream;
};

// Room for what a callback says when it does not return 0, with a zero at its end.
constexpr size_t MESSAGE = 256;

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

int32_t element(const at::Tensor& x) {
  switch (x.scalar_type()) {
    case at::kFloat: return 0;
    case at::kHalf: return 1;
    case at::kBFloat16: return 2;
    default: TORCH_CHECK(false, "the Pade activation takes float32, float16 and bfloat16, not ", x.scalar_type());
  }
}

// The device's half of libtorch registers itself with c10 when it is loaded, so that its current stream is reached without linking it.
Place place(const at::Tensor& x) {
  const c10::Device device = x.device();
  if (device.is_cpu()) return {0, element(x), nullptr};
  const c10::impl::VirtualGuardImpl of_device(device.type());
  return {device.index(), element(x), of_device.getStreamNativeHandle(of_device.getStream(device))};
}

Coefficients coefficients(const at::Tensor& x, const at::Tensor& numerator, const at::Tensor& denominator) {
  for (const at::Tensor* unit : {&numerator, &denominator}) {
    TORCH_CHECK(unit->device() == x.device() && unit->scalar_type() == at::kFloat,
                "the Pade activation's coefficients are float32 on the device of its input, not ", unit->toString());
  }
  return {numerator.const_data_ptr<float>(), static_cast<size_t>(numerator.numel()),
          denominator.const_data_ptr<float>(), static_cast<size_t>(denominator.numel())};
}

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

extern "C" {

at::Tensor* ecg_pau(const at::Tensor* x, const at::Tensor* numerator, const at::Tensor* denominator,
                    const Kernels* kernels, char** message) {
  return ecg::guarded(
      message, [&] { return Pade::apply(*x, *numerator, *denominator, reinterpret_cast<int64_t>(kernels)); });
}

void ecg_free_message(char* message) { free(message); }
}
