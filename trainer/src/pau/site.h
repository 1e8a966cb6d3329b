// What the operation of `conditional.cpp` and that of `conditional_cuda.cpp` have in common: one site of the network and its operands.

#pragma once

#include "../shim.h"

namespace ecg {

struct Extents {
  size_t samples;
  size_t height;
  size_t width;
  size_t channels;
  // Not 0 when only the means over 2x2 pixels are wanted.
  size_t pool;
};

// Null pointers stand for what is absent: modulation, shortcut, gain, key.
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
};

using Optional = std::optional<at::Tensor>;

inline Optional or_none(const at::Tensor* x) { return x == nullptr ? Optional() : Optional(*x); }

inline at::Tensor channels_last(const at::Tensor& x) { return x.contiguous(at::MemoryFormat::ChannelsLast); }

template <typename T = float>
const T* data_or_null(const at::Tensor& x) {
  return x.defined() ? x.const_data_ptr<T>() : nullptr;
}

inline at::Tensor contiguous_or_none(const Optional& x) { return x.has_value() ? x->contiguous() : at::Tensor(); }

inline Operands operands(const at::Tensor& x, const at::Tensor& gamma, const at::Tensor& beta, const at::Tensor& modulation,
                         const at::Tensor& shortcut, const at::Tensor& gain, const at::Tensor& key, double share,
                         const Coefficients& coefficients, bool pool) {
  const auto extent = [&](int64_t axis) { return static_cast<size_t>(x.size(axis)); };
  const Extents extents{extent(0), extent(2), extent(3), extent(1), pool};
  return {extents,
          coefficients,
          x.const_data_ptr<float>(),
          gamma.const_data_ptr<float>(),
          beta.const_data_ptr<float>(),
          data_or_null(modulation),
          data_or_null(shortcut),
          data_or_null(gain),
          data_or_null<int64_t>(key),
          share};
}

}  // namespace ecg
