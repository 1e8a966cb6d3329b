// An axial attention between its projection and its output as one libtorch autograd operation whose arithmetic is done by
// callbacks.
//
// Forward saves the projection, the products of the embedded maps and the results before their normalization; every other
// map is computed again on the way back, group by group.

#include "../shim.h"

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

struct Shape {
  size_t records, height, width, channels, groups, lanes, along_height;
};

struct Norm {
  const float* gamma;
  const float* beta;
  float* running_mean;
  float* running_variance;
  float* grad_gamma;
  float* grad_beta;
};

struct Operands {
  Shape shape;
  size_t batch_statistics;
  const float* projected;
  const float* embeddings;
  Norm norms[3];
  double* statistics;
  float* products;
  float* pairs;
};

using Forward = int32_t (*)(const Operands*, float* out);
// `similarities` is memory for as many maps as the products.
using Backward = int32_t (*)(const Operands*, const float* grad_out, float* similarities, float* grad_projected, float* grad_embeddings);

struct Kernels {
  Forward forward;
  Backward backward;
};

const char* const REFUSED = "the axial attention found no instruction set to run on";

class Axial : public Function<Axial> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& projected, const at::Tensor& embeddings,
                            const at::Tensor& gamma0, const at::Tensor& beta0, const at::Tensor& gamma1,
                            const at::Tensor& beta1, const at::Tensor& gamma2, const at::Tensor& beta2,
                            const std::vector<at::Tensor>& running, const Shape& shape, int64_t maps,
                            bool batch_statistics, int64_t kernels_address) {
    ecg::require_float("the operands of axial attention", at::kCPU, {projected});
    const auto* kernels = reinterpret_cast<const Kernels*>(kernels_address);
    const at::Tensor p = projected.contiguous();
    const at::Tensor r = embeddings.contiguous();
    at::Tensor statistics = at::empty({2 * (gamma0.numel() + gamma1.numel() + gamma2.numel())},
                                      p.options().dtype(at::kDouble));
    at::Tensor products = at::empty({maps}, p.options());
    at::Tensor pairs = at::empty_like(p);
    at::Tensor out = at::empty({p.size(0), p.size(1), p.size(2), p.size(3) / 2}, p.options());
    Operands o{shape, batch_statistics, p.const_data_ptr<float>(), r.const_data_ptr<float>(), {}, nullptr, nullptr,
               nullptr};
    const at::Tensor affine[6] = {gamma0, beta0, gamma1, beta1, gamma2, beta2};
    for (int i = 0; i < 3; ++i) {
      o.norms[i] = {affine[2 * i].const_data_ptr<float>(), affine[2 * i + 1].const_data_ptr<float>(),
                    running[2 * i].data_ptr<float>(), running[2 * i + 1].data_ptr<float>(), nullptr, nullptr};
    }
    o.statistics = statistics.mutable_data_ptr<double>();
    o.products = products.mutable_data_ptr<float>();
    o.pairs = pairs.mutable_data_ptr<float>();
    TORCH_CHECK(kernels->forward(&o, out.mutable_data_ptr<float>()) == 0, REFUSED);
    context->save_for_backward(
        {p, r, gamma0, beta0, gamma1, beta1, gamma2, beta2, statistics, products, pairs});
    context->saved_data["groups"] = static_cast<int64_t>(shape.groups);
    context->saved_data["lanes"] = static_cast<int64_t>(shape.lanes);
    context->saved_data["along_height"] = shape.along_height != 0;
    context->saved_data["batch_statistics"] = batch_statistics;
    context->saved_data["kernels"] = kernels_address;
    return out;
  }

  static tensor_list backward(AutogradContext* context, tensor_list gradients) {
    ecg::require_first_derivative("axial attention");
    const auto saved = context->get_saved_variables();
    const auto* kernels = reinterpret_cast<const Kernels*>(context->saved_data["kernels"].toInt());
    const at::Tensor &p = saved[0], &r = saved[1];
    const at::Tensor grad_out = gradients[0].contiguous();
    const auto extent = [&](int64_t axis) { return static_cast<size_t>(p.size(axis)); };
    const Shape shape{extent(0),
                      extent(1),
                      extent(2),
                      extent(3) / 2,
                      static_cast<size_t>(context->saved_data["groups"].toInt()),
                      static_cast<size_t>(context->saved_data["lanes"].toInt()),
                      context->saved_data["along_height"].toBool()};
    Operands o{shape,
               context->saved_data["batch_statistics"].toBool(),
               p.const_data_ptr<float>(),
               r.const_data_ptr<float>(),
               {},
               saved[8].data_ptr<double>(),
               saved[9].data_ptr<float>(),
               saved[10].data_ptr<float>()};
    at::Tensor grads[6];
    for (int i = 0; i < 6; ++i) grads[i] = at::empty_like(saved[2 + i]);
    for (int i = 0; i < 3; ++i) {
      o.norms[i] = {saved[2 + 2 * i].const_data_ptr<float>(), saved[3 + 2 * i].const_data_ptr<float>(), nullptr,
                    nullptr, grads[2 * i].mutable_data_ptr<float>(), grads[2 * i + 1].mutable_data_ptr<float>()};
    }
    at::Tensor grad_p = at::empty_like(p);
    at::Tensor grad_r = at::empty_like(r);
    at::Tensor similarities = at::empty_like(saved[9]);
    TORCH_CHECK(kernels->backward(&o, grad_out.const_data_ptr<float>(), similarities.mutable_data_ptr<float>(),
                                  grad_p.mutable_data_ptr<float>(),
                                  grad_r.mutable_data_ptr<float>()) == 0,
                REFUSED);
    const at::Tensor none;
    return {grad_p, grad_r, grads[0], grads[1], grads[2], grads[3], grads[4],
            grads[5], none, none, none, none, none};
  }
};

}  // namespace

extern "C" at::Tensor* ecg_axial_attention(const at::Tensor* projected, const at::Tensor* embeddings,
                                           const at::Tensor* const* affine, const at::Tensor* const* running,
                                           Shape shape, int64_t maps, bool batch_statistics,
                                           const Kernels* kernels, char** message) {
  return ecg::guarded(message, [&] {
    std::vector<at::Tensor> buffers;
    for (int i = 0; i < 6; ++i) buffers.push_back(*running[i]);
    return Axial::apply(*projected, *embeddings, *affine[0], *affine[1], *affine[2], *affine[3], *affine[4],
                        *affine[5], buffers, shape, maps, batch_statistics,
                        reinterpret_cast<int64_t>(kernels));
  });
}
