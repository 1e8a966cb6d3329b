// What the autograd shims share: borrowed coefficients, memory orders, errors as messages.

#pragma once

#include <torch/csrc/autograd/custom_function.h>

#include <cstdint>
#include <cstring>
#include <optional>

namespace ecg {

struct Coefficients {
  const float* numerator;
  size_t numerator_length;
  const float* denominator;
  size_t denominator_length;
};

inline void require_cpu_float(const at::Tensor& x) {
  TORCH_CHECK(x.device().is_cpu() && x.scalar_type() == at::kFloat,
              "the Pade activation runs on CPU tensors of float32, not on ", x.toString());
}

inline Coefficients coefficients(const at::Tensor& numerator, const at::Tensor& denominator) {
  require_cpu_float(numerator);
  require_cpu_float(denominator);
  return {numerator.const_data_ptr<float>(), static_cast<size_t>(numerator.numel()),
          denominator.const_data_ptr<float>(), static_cast<size_t>(denominator.numel())};
}

// Runs `make` and hands its tensor to the caller, or stores what libtorch threw.
template <typename Make>
at::Tensor* guarded(char** message, Make make) {
  try {
    return new at::Tensor(make());
  } catch (const std::exception& error) {
    *message = strdup(error.what());
    return nullptr;
  } catch (...) {
    *message = strdup("an exception that says nothing");
    return nullptr;
  }
}

}  // namespace ecg
