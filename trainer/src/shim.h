// What the shims share: borrowed coefficients, where an operation runs, errors as messages, the other processes.

#pragma once

#include <c10/core/impl/VirtualGuardImpl.h>
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

// Refuses tensors that are there but cannot be read through a pointer to float32 on this device; `what` names them in the plural.
inline void require_float(const char* what, c10::Device device, std::initializer_list<at::Tensor> tensors) {
  for (const at::Tensor& tensor : tensors) {
    TORCH_CHECK(!tensor.defined() || (tensor.device() == device && tensor.scalar_type() == at::kFloat), what,
                " must be float32 on ", device, ", not ", tensor.scalar_type(), " on ", tensor.device());
  }
}

// To be called first on the way back: what callbacks compute there is no part of a graph, so that derivatives of it would be wrong.
inline void require_first_derivative(const char* operation) {
  TORCH_CHECK(!at::GradMode::is_enabled(), operation, " has no second derivative");
}

// Where an operation runs. `element` is 0 for float32, 1 for float16, 2 for bfloat16; `stream` is null on the CPU.
struct Place {
  int32_t device;
  int32_t element;
  void* stream;
};

// Room for what a callback says when it does not return 0, with a zero at its end.
constexpr size_t MESSAGE = 256;

inline int32_t element(const at::Tensor& x) {
  switch (x.scalar_type()) {
    case at::kFloat: return 0;
    case at::kHalf: return 1;
    case at::kBFloat16: return 2;
    default: TORCH_CHECK(false, "the Pade activation takes float32, float16 and bfloat16, not ", x.scalar_type());
  }
}

// The device's half of libtorch registers itself with c10 when it is loaded, so that its current stream is reached without linking it.
inline Place place(const at::Tensor& x) {
  const c10::Device device = x.device();
  if (device.is_cpu()) return {0, element(x), nullptr};
  const c10::impl::VirtualGuardImpl of_device(device.type());
  return {device.index(), element(x), of_device.getStreamNativeHandle(of_device.getStream(device))};
}

// Coefficients for an operation on `x`, on whatever device it lies.
inline Coefficients coefficients(const at::Tensor& x, const at::Tensor& numerator, const at::Tensor& denominator) {
  require_float("the coefficients of the Pade activation", x.device(), {numerator, denominator});
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
