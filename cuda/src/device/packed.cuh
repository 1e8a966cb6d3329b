// Products of packed weights with operands in shared memory, and what becomes of their sums: the parts of which the encoders of
// the waveform are made. `cuda/src/operand.rs` packs.
#pragma once

#include "product.cuh"

// Elements from one row of `length` to the next of an operand in shared memory, so that a warp's accesses meet no bank twice.
template <class T>
DEVICE constexpr i32 stride_of(i32 length) {
    constexpr i32 SIZE = static_cast<i32>(sizeof(T));
    if (SIZE == 4) {
        return length + 4;
    }
    return length * SIZE / 32 % 2 == 1 ? length : length + 32 / SIZE;
}

// What the layers read and pass on: f32 where products are of i8.
template <class T>
struct SignalOf {
    using Type = T;
};
template <>
struct SignalOf<i8> {
    using Type = f32;
};
template <class T>
using Signal = typename SignalOf<T>::Type;

// A layer's weights. Only 8-bit ones have sums.
template <class T>
struct Weights {
    In<T> fragments;
    In<f32> terms;
    In<i32> sums;
};

// What this lane takes of step `index`, counted over all tiles, of a packed matrix that begins at element `first`.
template <class T>
DEVICE typename Tile<T>::Left packed_left(const In<T>& fragments, i64 first, i32 index) {
    constexpr i32 EACH = PACK<T>;
    if constexpr (Tile<T>::DEPTH == 4) {
        const i64 at = first + index * 16 * EACH + lane_index() / 4 * EACH;
        return {load_pack<EACH>(fragments, at), load_pack<EACH>(fragments, at + 8 * EACH)};
    } else {
        return words(load_pack<EACH>(fragments, first + index * WARP * EACH + lane_index() * EACH));
    }
}

// How numbers become operands of i8; others need none of it.
struct Rounding {
    f32 inverse;
    i32 zero_point;
};

template <class T>
DEVICE T rounded(f32 x, const Rounding& rounding) {
    if constexpr (sizeof(T) == 1) {
        const f32 zero_point = static_cast<f32>(rounding.zero_point);
        const f32 bounded = largest(least(x * rounding.inverse, 127.0f - zero_point), -128.0f - zero_point);
        return static_cast<T>(nearest(bounded) + rounding.zero_point);
    } else {
        return narrow<T>(x);
    }
}

// As many elements as one pack of T, from memory of S.
template <class T, class S>
DEVICE Pack<T, PACK<T>> load_rounded(const In<S>& from, i64 at, const Rounding& rounding) {
    if constexpr (sizeof(T) == sizeof(S)) {
        return load_pack<PACK<T>>(from, at);
    } else {
        Pack<T, PACK<T>> result;
        UNROLL for (i32 part = 0; part < PACK<T> / PACK<S>; ++part) {
            const Pack<S, PACK<S>> values = load_pack<PACK<S>>(from, at + part * PACK<S>);
            UNROLL for (i32 k = 0; k < PACK<S>; ++k) {
                result[part * PACK<S> + k] = rounded<T>(widen(values[k]), rounding);
            }
        }
        return result;
    }
}

// The value of a sum of products: i8's have a term, a factor and what is too much in the sum; others a term.
DEVICE f32 value_of(i32 sum, i32 excess, f32 factor, f32 term) { return fused(static_cast<f32>(sum - excess), factor, term); }

// 1/(1 + e^-x), and tanh x = 2/(1 + e^-2x) - 1, within 3e-7.
DEVICE f32 logistic(f32 x) { return reciprocal(1.0f + exponential(-x)); }
DEVICE f32 tanh_of(f32 x) { return fused(2.0f, logistic(2.0f * x), -1.0f); }
