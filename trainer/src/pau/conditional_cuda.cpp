// The operation of `conditional.cpp` whose arithmetic is launched on a GPU, for statistics that no other process shares.
//
// Callbacks get pointers into the tensors and the stream that libtorch queues work on at that moment. Nothing waits and nothing is read
// back, and all memory is libtorch's own, so that the work can be recorded as a CUDA graph.

#include "site.h"

namespace {

using ecg::data_or_null;
using ecg::MESSAGE;
using ecg::Operands;
using ecg::Optional;
using ecg::or_none;
using ecg::Place;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

// Numbers of memory that a site needs: the statistics are float64, the others float32.
struct Room {
  size_t statistics;
  size_t lines;
  size_t partials;
  size_t unit_partials;
  size_t towards;
};

// What forward leaves for backward.
struct Kept {
  double* statistics;
  float* lines;
};

struct Result {
  float* running_mean;
  float* running_variance;
  float* partials;
  float* y;
};

// The modulation's is null exactly when there is none.
struct Gradients {
  const float* y;
  float* u;
  float* x;
  float* gamma;
  float* beta;
  float* modulation;
  float* numerator;
  float* denominator;
  float* sums;
  float* unit_partials;
  float* towards;
};

// Each returns 0, or 1 and a message.
struct Kernels {
  int32_t (*room)(const Operands*, Room*, char* message);
  int32_t (*forward)(const Place*, const Operands*, int32_t batch_statistics, const Kept*, const Result*, char* message);
  int32_t (*backward)(const Place*, const Operands*, int32_t batch_statistics, const Kept*, const Gradients*, char* message);
};

// The kernels read four channels at once.
constexpr uintptr_t ALIGNMENT = 16;

// The same values where the kernels take them; none for no tensor.
at::Tensor aligned(const at::Tensor& x, at::MemoryFormat order) {
  if (!x.defined()) return x;
  const at::Tensor dense = x.contiguous(order);
  const bool fits = reinterpret_cast<uintptr_t>(dense.const_data_ptr()) % ALIGNMENT == 0;
  return fits ? dense : dense.clone(order);
}

at::Tensor map(const at::Tensor& x) { return aligned(x, at::MemoryFormat::ChannelsLast); }

at::Tensor vector(const at::Tensor& x) { return aligned(x, at::MemoryFormat::Contiguous); }

at::Tensor tensor(const Optional& x) { return x.has_value() ? *x : at::Tensor(); }

void require_alike(const at::Tensor& x, std::initializer_list<at::Tensor> others) {
  TORCH_CHECK(x.dim() == 4 && x.scalar_type() == at::kFloat, "a fused site takes feature maps of float32, not ", x.toString());
  for (const at::Tensor& other : others) {
    TORCH_CHECK(!other.defined() || (other.device() == x.device() && other.scalar_type() == at::kFloat),
                "a fused site's tensors are float32 on one device, not ", other.toString());
  }
}

Room room(const Kernels* kernels, const Operands& operands) {
  Room room{};
  char message[MESSAGE] = "";
  TORCH_CHECK(kernels->room(&operands, &room, message) == 0, message);
  return room;
}

at::Tensor numbers(size_t count, const at::Tensor& like, at::ScalarType kind = at::kFloat) {
  return at::empty({static_cast<int64_t>(count)}, like.options().dtype(kind));
}

Kept kept_in(const at::Tensor& statistics, const at::Tensor& lines) {
  return {statistics.mutable_data_ptr<double>(), lines.mutable_data_ptr<float>()};
}

class SitePade : public Function<SitePade> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                            const Optional& modulation, const Optional& shortcut, const Optional& gain, const Optional& key,
                            double share, const at::Tensor& numerator, const at::Tensor& denominator,
                            const at::Tensor& running_mean, const at::Tensor& running_variance, bool batch_statistics, bool pool,
                            int64_t kernels_address) {
    require_alike(input, {weight, bias, tensor(modulation), tensor(shortcut), tensor(gain), running_mean, running_variance});
    const auto* kernels = reinterpret_cast<const Kernels*>(kernels_address);
    const c10::OptionalDeviceGuard guard(input.device());
    const at::Tensor x = map(input), added = map(tensor(shortcut));
    const at::Tensor gamma = vector(weight), beta = vector(bias), p = vector(numerator), q = vector(denominator);
    const at::Tensor conditions = vector(tensor(modulation)), factors = vector(tensor(gain));
    const at::Tensor draws = ecg::contiguous_or_none(key);
    const Operands o =
        ecg::operands(x, gamma, beta, conditions, added, factors, draws, share, ecg::coefficients(x, p, q), pool);
    const Room sizes = room(kernels, o);
    at::Tensor statistics = numbers(sizes.statistics, x, at::kDouble);
    at::Tensor lines = numbers(sizes.lines, x);
    at::Tensor partials = numbers(sizes.partials, x);
    const int64_t step = pool ? 2 : 1;
    at::Tensor y = at::empty({x.size(0), x.size(1), x.size(2) / step, x.size(3) / step},
                             x.options().memory_format(at::MemoryFormat::ChannelsLast));
    const Place place = ecg::place(x);
    const Kept kept = kept_in(statistics, lines);
    const Result result{running_mean.mutable_data_ptr<float>(), running_variance.mutable_data_ptr<float>(),
                        partials.mutable_data_ptr<float>(), y.mutable_data_ptr<float>()};
    char message[MESSAGE] = "";
    TORCH_CHECK(kernels->forward(&place, &o, batch_statistics, &kept, &result, message) == 0, message);
    context->save_for_backward({x, gamma, beta, conditions, added, factors, draws, p, q, statistics, lines});
    context->saved_data["kernels"] = kernels_address;
    context->saved_data["batch_statistics"] = batch_statistics;
    context->saved_data["pool"] = pool;
    context->saved_data["share"] = share;
    return y;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto* kernels = reinterpret_cast<const Kernels*>(context->saved_data["kernels"].toInt());
    const at::Tensor &x = saved[0], &gamma = saved[1], &beta = saved[2], &modulation = saved[3], &shortcut = saved[4];
    const at::Tensor &p = saved[7], &q = saved[8], &statistics = saved[9], &lines = saved[10];
    const c10::OptionalDeviceGuard guard(x.device());
    require_alike(gradients[0], {x});
    const at::Tensor grad_y = map(gradients[0]);
    const Operands o = ecg::operands(x, gamma, beta, modulation, shortcut, saved[5], saved[6],
                                     context->saved_data["share"].toDouble(), ecg::coefficients(x, p, q),
                                     context->saved_data["pool"].toBool());
    const Room sizes = room(kernels, o);
    at::Tensor grad_u = at::empty_like(x), grad_x = at::empty_like(x);
    at::Tensor grad_gamma = at::empty_like(gamma), grad_beta = at::empty_like(beta);
    at::Tensor grad_modulation = modulation.defined() ? at::empty_like(modulation) : at::Tensor();
    at::Tensor grad_p = at::empty_like(p), grad_q = at::empty_like(q);
    at::Tensor sums = numbers(sizes.partials, x);
    at::Tensor unit_partials = numbers(sizes.unit_partials, x);
    at::Tensor towards = numbers(sizes.towards, x);
    const Place place = ecg::place(x);
    const Kept kept = kept_in(statistics, lines);
    const Gradients to{data_or_null(grad_y),
                       grad_u.mutable_data_ptr<float>(),
                       grad_x.mutable_data_ptr<float>(),
                       grad_gamma.mutable_data_ptr<float>(),
                       grad_beta.mutable_data_ptr<float>(),
                       grad_modulation.defined() ? grad_modulation.mutable_data_ptr<float>() : nullptr,
                       grad_p.mutable_data_ptr<float>(),
                       grad_q.mutable_data_ptr<float>(),
                       sums.mutable_data_ptr<float>(),
                       unit_partials.mutable_data_ptr<float>(),
                       towards.mutable_data_ptr<float>()};
    char message[MESSAGE] = "";
    const bool batch_statistics = context->saved_data["batch_statistics"].toBool();
    TORCH_CHECK(kernels->backward(&place, &o, batch_statistics, &kept, &to, message) == 0, message);
    const at::Tensor none;
    return {grad_x, grad_gamma, grad_beta, grad_modulation, shortcut.defined() ? grad_u : none,
            none,   none,       none,      grad_p,          grad_q,
            none,   none,       none,      none,            none};
  }
};

}  // namespace

extern "C" at::Tensor* ecg_site(const at::Tensor* x, const at::Tensor* gamma, const at::Tensor* beta, const at::Tensor* modulation,
                                const at::Tensor* shortcut, const at::Tensor* gain, const at::Tensor* key, double share,
                                const at::Tensor* numerator, const at::Tensor* denominator, const at::Tensor* running_mean,
                                const at::Tensor* running_variance, bool batch_statistics, bool pool, const Kernels* kernels,
                                char** message) {
  return ecg::guarded(message, [&] {
    return SitePade::apply(*x, *gamma, *beta, or_none(modulation), or_none(shortcut), or_none(gain), or_none(key), share,
                           *numerator, *denominator, *running_mean, *running_variance, batch_statistics, pool,
                           reinterpret_cast<int64_t>(kernels));
  });
}
