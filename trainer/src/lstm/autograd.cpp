// A layer of an LSTM as one libtorch autograd operation. Products over all steps at once are libtorch's; callbacks compute the steps.

#include "../shim.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros_like.h>

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

struct Shape {
  size_t records, steps, units;
};

// Each returns 0, or 1 when no instruction set can be chosen. Gates are [records, steps, 4 * units], all else [records, steps, units].
struct Kernels {
  // Turns what input and biases contribute into activated gates.
  int32_t (*forward)(const Shape*, const float* recurrent, float* gates, float* cells, float* hidden);
  // Gradients by the gates before their activation.
  int32_t (*backward)(const Shape*, const float* recurrent, const float* gates, const float* cells, const float* grad_hidden,
                      float* grad_gates);
};

const char* const REFUSED = "the LSTM layer found no instruction set to run on";

Shape shape_of(const at::Tensor& states) {
  const auto extent = [&](int64_t axis) { return static_cast<size_t>(states.size(axis)); };
  return {extent(0), extent(1), extent(2)};
}

class Lstm : public Function<Lstm> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& input, const at::Tensor& recurrent,
                            const at::Tensor& input_bias, const at::Tensor& recurrent_bias, int64_t kernels_address) {
    const auto* kernels = reinterpret_cast<const Kernels*>(kernels_address);
    const int64_t records = x.size(0), steps = x.size(1), units = recurrent.size(1);
    const at::Tensor rows = x.reshape({records * steps, x.size(2)});
    const at::Tensor w = recurrent.contiguous();
    at::Tensor gates = at::addmm(input_bias.add(recurrent_bias), rows, input.t());
    at::Tensor cells = at::empty({records, steps, units}, rows.options());
    at::Tensor hidden = at::empty({records, steps, units}, rows.options());
    const Shape shape = shape_of(hidden);
    TORCH_CHECK(kernels->forward(&shape, w.const_data_ptr<float>(), gates.mutable_data_ptr<float>(), cells.mutable_data_ptr<float>(),
                                 hidden.mutable_data_ptr<float>()) == 0,
                REFUSED);
    context->save_for_backward({rows, input, w, gates, cells, hidden});
    context->saved_data["kernels"] = kernels_address;
    return hidden;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    ecg::require_first_derivative("the LSTM layer");
    const auto saved = context->get_saved_variables();
    const auto* kernels = reinterpret_cast<const Kernels*>(context->saved_data["kernels"].toInt());
    const at::Tensor &rows = saved[0], &input = saved[1], &w = saved[2], &gates = saved[3], &cells = saved[4], &hidden = saved[5];
    const at::Tensor grad_hidden = gradients[0].contiguous();
    const Shape shape = shape_of(hidden);
    at::Tensor grad_gates = at::empty_like(gates);
    TORCH_CHECK(kernels->backward(&shape, w.const_data_ptr<float>(), gates.const_data_ptr<float>(), cells.const_data_ptr<float>(),
                                  grad_hidden.const_data_ptr<float>(), grad_gates.mutable_data_ptr<float>()) == 0,
                REFUSED);
    at::Tensor grad_x;
    if (context->needs_input_grad(0)) {
      grad_x = grad_gates.mm(input).reshape({hidden.size(0), hidden.size(1), input.size(1)});
    }
    // Each step read the outputs of the one before, the first one zeros.
    at::Tensor before = at::zeros_like(hidden);
    before.slice(1, 1).copy_(hidden.slice(1, 0, hidden.size(1) - 1));
    const at::Tensor by_unit = grad_gates.t();
    const at::Tensor grad_bias = grad_gates.sum(0);
    return {grad_x, by_unit.mm(rows), by_unit.mm(before.flatten(0, 1)), grad_bias, grad_bias, at::Tensor()};
  }
};

}  // namespace

extern "C" at::Tensor* ecg_lstm_layer(const at::Tensor* x, const at::Tensor* input, const at::Tensor* recurrent,
                                      const at::Tensor* input_bias, const at::Tensor* recurrent_bias, const Kernels* kernels,
                                      char** message) {
  return ecg::guarded(message, [&] {
    return Lstm::apply(*x, *input, *recurrent, *input_bias, *recurrent_bias, reinterpret_cast<int64_t>(kernels));
  });
}
