// Conditional batch normalization, an optional shortcut, the Padé activation, dropout and an optional average pool as one libtorch
// autograd operation whose arithmetic is done by callbacks, on whatever device they are for.
//
// Forward saves the input, the shortcut and numbers per channel; everything between them and the output is computed again on the way back.
// Callbacks get pointers into the tensors and the stream that libtorch queues work on at that moment. All memory is libtorch's own, so that
// work on a GPU, where nothing waits and nothing is read back, can be recorded as a CUDA graph.

#include "../shim.h"

namespace {

using ecg::Coefficients;
using ecg::MESSAGE;
using ecg::PeersPointer;
using ecg::Place;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;
using Optional = std::optional<at::Tensor>;

struct Extents {
  size_t samples;
  size_t height;
  size_t width;
  size_t channels;
  // Not 0 when only the means over 2x2 pixels are wanted.
  size_t pool;
};

// Null pointers stand for what is absent: modulation, shortcut, gain, key, group.
struct Operands {
  Extents extents;
  Coefficients coefficients;
  const float* x;
  const float* gamma;
  const float* beta;
  const float* modulation;
  const float* shortcut;
  const float* gain;
  // Of dropout of elements, one number; the probability of each element to be left out.
  const int64_t* key;
  double share;
  // Not 0 to normalize with the statistics of the batch, or of the batches of all processes of the group.
  size_t batch_statistics;
  const void* group;
};

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
  int32_t (*forward)(const Place*, const Operands*, const Kept*, const Result*, char* message);
  int32_t (*backward)(const Place*, const Operands*, const Kept*, const Gradients*, char* message);
};

// A GPU's kernels read four channels at once.
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

void require_float(const at::Tensor& x, std::initializer_list<at::Tensor> tensors) {
  ecg::require_float("the operands of the conditional Pade activation", x.device(), tensors);
}

template <typename T = float>
const T* data_or_null(const at::Tensor& x) {
  return x.defined() ? x.const_data_ptr<T>() : nullptr;
}

// What of a site is no tensor.
struct Settings {
  double share;
  bool batch_statistics;
  bool pool;
  PeersPointer peers;
  const Kernels* kernels;
};

void save(AutogradContext* context, const Settings& settings) {
  context->saved_data["share"] = settings.share;
  context->saved_data["batch_statistics"] = settings.batch_statistics;
  context->saved_data["pool"] = settings.pool;
  context->saved_data["kernels"] = reinterpret_cast<int64_t>(settings.kernels);
  ecg::save(context, settings.peers);
}

Settings saved_settings(AutogradContext* context) {
  return {context->saved_data["share"].toDouble(), context->saved_data["batch_statistics"].toBool(),
          context->saved_data["pool"].toBool(), ecg::saved_peers(context),
          reinterpret_cast<const Kernels*>(context->saved_data["kernels"].toInt())};
}

Operands operands(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta, const at::Tensor& modulation,
                  const at::Tensor& shortcut, const at::Tensor& gain, const at::Tensor& key, const Coefficients& coefficients,
                  const Settings& settings) {
  const auto extent = [&](int64_t axis) { return static_cast<size_t>(x.size(axis)); };
  const Extents extents{extent(0), extent(2), extent(3), extent(1), settings.pool};
  return {extents,
          coefficients,
          x.const_data_ptr<float>(),
          gamma.const_data_ptr<float>(),
          beta.const_data_ptr<float>(),
          data_or_null(modulation),
          data_or_null(shortcut),
          data_or_null(gain),
          data_or_null<int64_t>(key),
          settings.share,
          settings.batch_statistics,
          settings.peers ? settings.peers->group : nullptr};
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

class ConditionalPade : public Function<ConditionalPade> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias,
                            const Optional& modulation, const Optional& shortcut, const Optional& gain, const Optional& key,
                            const at::Tensor& numerator, const at::Tensor& denominator, const at::Tensor& running_mean,
                            const at::Tensor& running_variance, const Settings& settings) {
    require_float(input, {input, weight, bias, tensor(modulation), tensor(shortcut), tensor(gain), running_mean, running_variance});
    TORCH_CHECK(input.dim() == 4, "a feature map has four axes");
    const c10::OptionalDeviceGuard guard(input.device());
    const at::Tensor x = map(input), added = map(tensor(shortcut));
    const at::Tensor gamma = vector(weight), beta = vector(bias), p = vector(numerator), q = vector(denominator);
    const at::Tensor conditions = vector(tensor(modulation)), factors = vector(tensor(gain)), draws = tensor(key);
    const Operands o = operands(x, gamma, beta, conditions, added, factors, draws, ecg::coefficients(x, p, q), settings);
    const Room sizes = room(settings.kernels, o);
    at::Tensor statistics = numbers(sizes.statistics, x, at::kDouble);
    at::Tensor lines = numbers(sizes.lines, x);
    at::Tensor partials = numbers(sizes.partials, x);
    const int64_t step = settings.pool ? 2 : 1;
    at::Tensor y = at::empty({x.size(0), x.size(1), x.size(2) / step, x.size(3) / step},
                             x.options().memory_format(at::MemoryFormat::ChannelsLast));
    const Place place = ecg::place(x);
    const Kept kept = kept_in(statistics, lines);
    const Result result{running_mean.mutable_data_ptr<float>(), running_variance.mutable_data_ptr<float>(),
                        partials.mutable_data_ptr<float>(), y.mutable_data_ptr<float>()};
    char message[MESSAGE] = "";
    TORCH_CHECK(settings.kernels->forward(&place, &o, &kept, &result, message) == 0, message);
    context->save_for_backward({x, gamma, beta, conditions, added, factors, draws, p, q, statistics, lines});
    save(context, settings);
    return y;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    ecg::require_first_derivative("the conditional Pade activation");
    const auto saved = context->get_saved_variables();
    const Settings settings = saved_settings(context);
    const at::Tensor &x = saved[0], &gamma = saved[1], &beta = saved[2], &modulation = saved[3], &shortcut = saved[4];
    const at::Tensor &p = saved[7], &q = saved[8], &statistics = saved[9], &lines = saved[10];
    const c10::OptionalDeviceGuard guard(x.device());
    require_float(x, {gradients[0]});
    const at::Tensor grad_y = map(gradients[0]);
    const Operands o =
        operands(x, gamma, beta, modulation, shortcut, saved[5], saved[6], ecg::coefficients(x, p, q), settings);
    const Room sizes = room(settings.kernels, o);
    at::Tensor grad_u = at::empty_like(x), grad_x = at::empty_like(x);
    at::Tensor grad_gamma = at::empty_like(gamma), grad_beta = at::empty_like(beta);
    at::Tensor grad_modulation = modulation.defined() ? at::empty_like(modulation) : at::Tensor();
    at::Tensor grad_p = at::empty_like(p), grad_q = at::empty_like(q);
    at::Tensor sums = numbers(sizes.partials, x);
    at::Tensor unit_partials = numbers(sizes.unit_partials, x);
    at::Tensor towards = numbers(sizes.towards, x);
    const Place place = ecg::place(x);
    const Kept kept = kept_in(statistics, lines);
    const Gradients to{grad_y.const_data_ptr<float>(),
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
    TORCH_CHECK(settings.kernels->backward(&place, &o, &kept, &to, message) == 0, message);
    const at::Tensor none;
    const at::Tensor grad_shortcut = shortcut.defined() ? grad_u : none;
    return {grad_x, grad_gamma, grad_beta, grad_modulation, grad_shortcut, none, none, grad_p, grad_q, none, none, none};
  }
};

Optional or_none(const at::Tensor* x) { return x == nullptr ? Optional() : Optional(*x); }

}  // namespace

// Takes over one reference to `group`, which may be null.
extern "C" at::Tensor* ecg_conditional_pau(const at::Tensor* x, const at::Tensor* gamma, const at::Tensor* beta,
                                           const at::Tensor* modulation, const at::Tensor* shortcut, const at::Tensor* gain,
                                           const at::Tensor* key, double share, const at::Tensor* numerator,
                                           const at::Tensor* denominator, const at::Tensor* running_mean,
                                           const at::Tensor* running_variance, bool batch_statistics, bool pool, const void* group,
                                           ecg::Peers::Release release, const Kernels* kernels, char** message) {
  return ecg::guarded(message, [&] {
    const Settings settings{share, batch_statistics, pool, ecg::peers(group, release), kernels};
    return ConditionalPade::apply(*x, *gamma, *beta, or_none(modulation), or_none(shortcut), or_none(gain), or_none(key), *numerator,
                                  *denominator, *running_mean, *running_variance, settings);
  });
}
