// Steps over all weights at once: libtorch runs each of these operations in a few launches on a GPU, whatever the number of tensors.

#include "../shim.h"

#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_addcdiv.h>
#include <ATen/ops/_foreach_addcmul.h>
#include <ATen/ops/_foreach_clamp_max.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>

namespace {

std::vector<at::Tensor> list(const at::Tensor* const* tensors, size_t count) {
  std::vector<at::Tensor> result;
  result.reserve(count);
  for (size_t i = 0; i < count; i++) result.push_back(*tensors[i]);
  return result;
}

std::vector<at::Tensor> gradients(const std::vector<at::Tensor>& weights) {
  std::vector<at::Tensor> result;
  result.reserve(weights.size());
  for (const auto& weight : weights) result.push_back(weight.grad());
  return result;
}

}  // namespace

extern "C" {

// The numbers of one step of rectified Adam; `Numbers` of foreach.rs.
struct EcgStep {
  double beta1;
  double beta2;
  double eps;
  double size;
  int32_t is_rectified;
};

// Moves every weight along its gradient, which it drops, and the moments with them.
int32_t ecg_radam_step(const at::Tensor* const* weights, const at::Tensor* const* first, const at::Tensor* const* second,
                       size_t count, const EcgStep* step, char** message) {
  return ecg::attempt(message, [&] {
    const c10::NoGradGuard no_grad;
    const auto w = list(weights, count);
    const auto m = list(first, count);
    const auto v = list(second, count);
    const auto g = gradients(w);
    at::_foreach_mul_(m, step->beta1);
    at::_foreach_add_(m, g, 1.0 - step->beta1);
    at::_foreach_mul_(v, step->beta2);
    at::_foreach_addcmul_(v, g, g, 1.0 - step->beta2);
    if (step->is_rectified) {
      const auto deviation = at::_foreach_sqrt(v);
      at::_foreach_add_(deviation, step->eps);
      at::_foreach_addcdiv_(w, m, deviation, step->size);
    } else {
      at::_foreach_add_(w, m, step->size);
    }
    for (const auto& weight : w) weight.mutable_grad().reset();
  });
}

// Shortens the gradients of these weights together so that their norm is at most `greatest`, without waiting for a GPU.
int32_t ecg_clip(const at::Tensor* const* weights, size_t count, double greatest, char** message) {
  return ecg::attempt(message, [&] {
    const c10::NoGradGuard no_grad;
    const auto g = gradients(list(weights, count));
    const auto norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(g)));
    at::_foreach_mul_(g, norm.reciprocal().mul(greatest).clamp_max(1.0));
  });
}

// Moves every tensor by the share `weight` of its way to its target.
int32_t ecg_lerp(const at::Tensor* const* tensors, const at::Tensor* const* targets, size_t count, double weight, char** message) {
  return ecg::attempt(message, [&] {
    const c10::NoGradGuard no_grad;
    at::_foreach_lerp_(list(tensors, count), list(targets, count), weight);
  });
}

// Moves running statistics by the share `weight` of their way to others, by less where the other variance, `eps` added, is more than `bound`
// times as large: its pull on the variance has that limit, and its pull on the mean falls with it.
int32_t ecg_lerp_statistics(const at::Tensor* const* means, const at::Tensor* const* other_means, const at::Tensor* const* variances,
                            const at::Tensor* const* other_variances, size_t count, double weight, double bound, double eps,
                            char** message) {
  return ecg::attempt(message, [&] {
    const c10::NoGradGuard no_grad;
    const auto variance = list(variances, count);
    const auto other = list(other_variances, count);
    auto weights = at::_foreach_add(variance, eps);
    at::_foreach_div_(weights, at::_foreach_add(other, eps));
    at::_foreach_mul_(weights, bound);
    at::_foreach_clamp_max_(weights, 1.0);
    at::_foreach_mul_(weights, weight);
    at::_foreach_lerp_(list(means, count), list(other_means, count), weights);
    at::_foreach_lerp_(variance, other, weights);
  });
}

// Gives every tensor the values of another.
int32_t ecg_copy(const at::Tensor* const* tensors, const at::Tensor* const* sources, size_t count, char** message) {
  return ecg::attempt(message, [&] {
    const c10::NoGradGuard no_grad;
    at::_foreach_copy_(list(tensors, count), list(sources, count));
  });
}
}
