// The gradient of a leaf, which only autograd and C++ may set.

#include "../shim.h"

extern "C" int32_t ecg_set_gradient(const at::Tensor* weight, const at::Tensor* gradient, char** message) {
  return ecg::attempt(message, [&] { weight->mutable_grad() = *gradient; });
}
