// What the shims share: borrowed coefficients, errors as messages, the other processes.

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

// Runs `action`; on failure stores what was thrown and returns -1.
template <typename Action>
int32_t attempt(char** message, Action action) {
  try {
    action();
    return 0;
  } catch (const std::exception& error) {
    *message = strdup(error.what());
  } catch (...) {
    *message = strdup("an exception that says nothing");
  }
  return -1;
}

// Hands what `make` returns to the caller, or null.
template <typename Made, typename Make>
Made* made(char** message, Make make) {
  Made* result = nullptr;
  attempt(message, [&] { result = new Made(make()); });
  return result;
}

template <typename Make>
at::Tensor* guarded(char** message, Make make) {
  return made<at::Tensor>(message, make);
}

// One reference to the group of processes over which batch normalization takes its statistics.
struct Peers : torch::CustomClassHolder {
  using Release = void (*)(const void* group);

  Peers(const void* group, Release release) : group(group), release(release) {}
  ~Peers() override { release(group); }

  const void* group;
  Release release;
};

using PeersPointer = c10::intrusive_ptr<Peers>;

// Null for a process alone.
inline PeersPointer peers(const void* group, Peers::Release release) {
  return group == nullptr ? PeersPointer() : c10::make_intrusive<Peers>(group, release);
}

// Keeps the group for the way back.
inline void save(torch::autograd::AutogradContext* context, const PeersPointer& peers) {
  if (peers) context->saved_data["peers"] = c10::IValue::make_capsule(peers);
}

inline PeersPointer saved_peers(torch::autograd::AutogradContext* context) {
  const auto found = context->saved_data.find("peers");
  if (found == context->saved_data.end()) return PeersPointer();
  return c10::static_intrusive_pointer_cast<Peers>(found->second.toCapsule());
}

}  // namespace ecg
