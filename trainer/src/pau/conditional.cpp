// Conditional batch normalization, an optional shortcut, the Padé activation, dropout and an optional average pool as one libtorch autograd operation.
//
// Forward saves the input, the shortcut and numbers per channel; everything between them and the output is computed
// again on the way back. With other processes given, the kernels take the batch's statistics over all their batches.

#include "site.h"

namespace {

using ecg::channels_last;
using ecg::contiguous_or_none;
using ecg::Operands;
using ecg::operands;
using ecg::Optional;
using ecg::or_none;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

using Forward = int32_t (*)(const Operands*, const void* group, int32_t batch_statistics, float* running_mean, float* running_variance,
                            double* statistics, float* y);
using Backward = int32_t (*)(const Operands*, const void* group, int32_t batch_statistics, const double* statistics, const float* grad_y,
                             float* grad_x, float* grad_u, float* grad_gamma, float* grad_beta,
                             float* grad_modulation, float* grad_numerator, float* grad_denominator);

struct Kernels {
  Forward forward;
  Backward backward;
};

const void* group_or_null(const ecg::PeersPointer& peers) { return peers ? peers->group : nullptr; }

// Says what a kernel's answer means when it is not 0.
void check(int32_t answer) {
  TORCH_CHECK(answer != 1, "the Pade activation refused its coefficients");
  TORCH_CHECK(answer == 0, "the statistics could not be shared with the other processes");
}

class ConditionalPade : public Function<ConditionalPade> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, const at::Tensor& gamma,
                            const at::Tensor& beta, const Optional& modulation, const Optional& shortcut,
                            const Optional& gain, const Optional& key, double share, const at::Tensor& numerator,
                            const at::Tensor& denominator, const at::Tensor& running_mean, const at::Tensor& running_variance,
                            bool batch_statistics, bool pool, const ecg::PeersPointer& peers, int64_t kernels_address) {
    ecg::require_cpu_float(input);
    TORCH_CHECK(input.dim() == 4, "a feature map has four axes");
    const auto* kernels = reinterpret_cast<const Kernels*>(kernels_address);
    const at::Tensor x = channels_last(input);
    const at::Tensor added = shortcut.has_value() ? channels_last(*shortcut) : at::Tensor();
    const at::Tensor conditions = contiguous_or_none(modulation);
    const at::Tensor factors = contiguous_or_none(gain);
    const at::Tensor draws = contiguous_or_none(key);
    const at::Tensor p = numerator.contiguous();
    const at::Tensor q = denominator.contiguous();
    at::Tensor statistics = at::empty({2, x.size(1)}, x.options().dtype(at::kDouble));
    at::Tensor y = pool ? at::empty({x.size(0), x.size(1), x.size(2) / 2, x.size(3) / 2},
                                    x.options().memory_format(at::MemoryFormat::ChannelsLast))
                        : at::empty_like(x);
    const Operands o = operands(x, gamma, beta, conditions, added, factors, draws, share, ecg::coefficients(p, q), pool);
    check(kernels->forward(&o, group_or_null(peers), batch_statistics, running_mean.data_ptr<float>(),
                           running_variance.data_ptr<float>(), statistics.mutable_data_ptr<double>(),
                           y.mutable_data_ptr<float>()));
    ecg::save(context, peers);
    context->save_for_backward({x, gamma, beta, conditions, added, factors, draws, p, q, statistics});
    context->saved_data["kernels"] = kernels_address;
    context->saved_data["batch_statistics"] = batch_statistics;
    context->saved_data["pool"] = pool;
    context->saved_data["share"] = share;
    return y;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto* kernels = reinterpret_cast<const Kernels*>(context->saved_data["kernels"].toInt());
    const at::Tensor &x = saved[0], &gamma = saved[1], &beta = saved[2], &modulation = saved[3];
    const at::Tensor &p = saved[7], &q = saved[8];
    const at::Tensor grad_y = channels_last(gradients[0]);
    at::Tensor grad_x = at::empty_like(x);
    at::Tensor grad_u = at::empty_like(x);
    at::Tensor grad_gamma = at::empty_like(gamma);
    at::Tensor grad_beta = at::empty_like(beta);
    at::Tensor grad_modulation = modulation.defined() ? at::empty_like(modulation) : at::Tensor();
    at::Tensor grad_p = at::empty_like(p);
    at::Tensor grad_q = at::empty_like(q);
    const Operands o = operands(x, gamma, beta, modulation, saved[4], saved[5], saved[6],
                                context->saved_data["share"].toDouble(), ecg::coefficients(p, q),
                                context->saved_data["pool"].toBool());
    const ecg::PeersPointer peers = ecg::saved_peers(context);
    check(kernels->backward(&o, group_or_null(peers), context->saved_data["batch_statistics"].toBool(),
                            saved[9].const_data_ptr<double>(), grad_y.const_data_ptr<float>(),
                            grad_x.mutable_data_ptr<float>(), grad_u.mutable_data_ptr<float>(),
                            grad_gamma.mutable_data_ptr<float>(), grad_beta.mutable_data_ptr<float>(),
                            grad_modulation.defined() ? grad_modulation.mutable_data_ptr<float>() : nullptr,
                            grad_p.mutable_data_ptr<float>(), grad_q.mutable_data_ptr<float>()));
    const at::Tensor none;
    return {grad_x, grad_gamma, grad_beta, grad_modulation, saved[4].defined() ? grad_u : none,
            none,   none,       none,      grad_p,          grad_q,
            none,   none,       none,      none,            none,
            none};
  }
};

}  // namespace

// Takes over one reference to `group`, which may be null.
extern "C" at::Tensor* ecg_conditional_pau(const at::Tensor* x, const at::Tensor* gamma, const at::Tensor* beta,
                                           const at::Tensor* modulation, const at::Tensor* shortcut,
                                           const at::Tensor* gain, const at::Tensor* key, double share,
                                           const at::Tensor* numerator, const at::Tensor* denominator,
                                           const at::Tensor* running_mean, const at::Tensor* running_variance,
                                           bool batch_statistics, bool pool, const void* group, ecg::Peers::Release release,
                                           const Kernels* kernels, char** message) {
  return ecg::guarded(message, [&] {
    const ecg::PeersPointer peers = ecg::peers(group, release);
    return ConditionalPade::apply(*x, *gamma, *beta, or_none(modulation), or_none(shortcut), or_none(gain),
                                  or_none(key), share, *numerator, *denominator, *running_mean, *running_variance,
                                  batch_statistics, pool, peers, reinterpret_cast<int64_t>(kernels));
  });
}
