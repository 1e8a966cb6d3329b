// Products of one warp, one way of writing them for every type: a tile D [16 × 8] += A [16 × depth] · B [8 × depth]ᵀ, rows of A and
// of B with their depth contiguous. f16, bf16 and i8 run on tensor cores, f32 on fused multiply-adds; sums are f32, or i32 for i8.
//
//   Tile<T>::Accumulator     Array of 4: lane l, with g = l / 4 and t = l % 4, has D[g][2t], D[g][2t + 1], D[g + 8][2t], D[g + 8][2t + 1]
//   Tile<T>::DEPTH           the depth of one step: 16 for f16 and bf16, 32 for i8, 4 for f32
//   Tile<T>::Left, Right     what a lane holds of A and B for one step. Kept in registers, they serve several tiles.
//   left<T>(low, high)       of A in shared memory; `low` points to row g, `high` to row g + 8 of A, at the step's first element
//   right<T>(b, stride)      of B in shared memory; `b` points to row 0 of B at the step's first element
//   multiply(d, left, right) one step; all 32 lanes together
//   product(d, a, a_stride, b, b_stride, depth)
//                            `depth` a multiple of DEPTH, in one go; strides in elements
//
// Rows begin at multiples of 8 bytes (16 for f32). Which of the depth's elements a register holds is of no concern as long as
// A and B agree: a lane takes 8 neighbouring bytes of each row, t · 8 bytes into the step, in one access. A warp's accesses
// meet no bank twice when a row's stride is an odd multiple of 32 bytes.
#pragma once

#include "device.cuh"

template <class T>
struct Tile;

// Of the types that tensor cores multiply.
template <class T, class Sum>
struct TensorTile {
    using Accumulator = Array<Sum, 4>;
    // Elements that a lane takes of a row.
    static constexpr i32 EACH = 8 / static_cast<i32>(sizeof(T));
    static constexpr i32 DEPTH = 4 * EACH;
    using Left = Array<u32, 4>;
    using Right = Array<u32, 2>;
};
template <>
struct Tile<f16> : TensorTile<f16, f32> {
    METHOD static void step(Accumulator& d, const Left& a, const Right& b) { mma_f16(d, a, b); }
};
template <>
struct Tile<bf16> : TensorTile<bf16, f32> {
    METHOD static void step(Accumulator& d, const Left& a, const Right& b) { mma_bf16(d, a, b); }
};
template <>
struct Tile<i8> : TensorTile<i8, i32> {
    METHOD static void step(Accumulator& d, const Left& a, const Right& b) { mma_s8(d, a, b); }
};

template <>
struct Tile<f32> {
    using Accumulator = Array<f32, 4>;
    static constexpr i32 DEPTH = 4;
    // Rows g and g + 8 of A; columns 2t and 2t + 1 of D, which are rows of B.
    struct Left {
        Pack<f32, 4> low;
        Pack<f32, 4> high;
    };
    struct Right {
        Pack<f32, 4> even;
        Pack<f32, 4> odd;
    };
    METHOD static void step(Accumulator& d, const Left& a, const Right& b) {
        UNROLL for (i32 k = 0; k < DEPTH; ++k) {
            d[0] = fused(a.low[k], b.even[k], d[0]);
            d[1] = fused(a.low[k], b.odd[k], d[1]);
            d[2] = fused(a.high[k], b.even[k], d[2]);
            d[3] = fused(a.high[k], b.odd[k], d[3]);
        }
    }
};

template <class T>
DEVICE typename Tile<T>::Left left(const Shared<T>& low, const Shared<T>& high) {
    if constexpr (Tile<T>::DEPTH == 4) {
        return {load_shared<4>(low, 0), load_shared<4>(high, 0)};
    } else {
        constexpr i32 EACH = Tile<T>::EACH;
        const i32 first = lane_index() % 4 * EACH;
        const Array<u32, 2> above = words(load_shared<EACH>(low, first));
        const Array<u32, 2> below = words(load_shared<EACH>(high, first));
        return {above[0], below[0], above[1], below[1]};
    }
}

template <class T>
DEVICE typename Tile<T>::Right right(const Shared<T>& b, i32 stride) {
    if constexpr (Tile<T>::DEPTH == 4) {
        const i32 first = lane_index() % 4 * 2 * stride;
        return {load_shared<4>(b, first), load_shared<4>(b, first + stride)};
    } else {
        constexpr i32 EACH = Tile<T>::EACH;
        return words(load_shared<EACH>(b, lane_index() / 4 * stride + lane_index() % 4 * EACH));
    }
}

template <class T>
DEVICE void multiply(
    typename Tile<T>::Accumulator& d, const typename Tile<T>::Left& a, const typename Tile<T>::Right& b
) {
    Tile<T>::step(d, a, b);
}

template <class T>
DEVICE void product(
    typename Tile<T>::Accumulator& d, const Shared<T>& a, i32 a_stride, const Shared<T>& b, i32 b_stride, i32 depth
) {
    const i32 row = lane_index() / 4;
    for (i32 k = 0; k < depth; k += Tile<T>::DEPTH) {
        const typename Tile<T>::Left rows = left<T>(a + (row * a_stride + k), a + ((row + 8) * a_stride + k));
        multiply<T>(d, rows, right<T>(b + k, b_stride));
    }
}
