// The Padé activation F(x) = Σ a_k x^k / (1 + Σ |b_k| |x|^k) in registers, for whoever applies it. f32 arithmetic holds up to
// `limit`; what lies beyond is for the kernel to see to.
#pragma once

#include "device.cuh"

namespace pade {

// A unit's coefficients in device memory.
struct Coefficients {
    In<f32> numerator;
    i32 numerators;
    In<f32> denominator;
    i32 denominators;
};

// The same in registers, padded with zeros to order M/N; b holds |b_1| … |b_N|.
template <i32 M, i32 N>
struct Unit {
    Array<f32, M + 1> a;
    Array<f32, N> b;
    // The power of two up to which f32 arithmetic cannot overflow; negative when there is none.
    f32 limit;
};

// Every term of P, Q and their derivatives stays below 2^110 while |c_k| |x|^k is at most 2^HEADROOM for every coefficient, and
// so do the powers of x themselves. Each lane looks at one coefficient.
constexpr f32 HEADROOM = 103.0f;

template <i32 M, i32 N>
DEVICE Unit<M, N> load_unit(const Coefficients& coefficients) {
    static_assert(M >= N && N >= 2 && M + 1 + N <= WARP, "a lane for each coefficient");
    const i32 lane = lane_index();
    f32 mine = 0.0f;
    i32 degree = lane;
    if (inside(lane, M + 1)) {
        if (inside(lane, coefficients.numerators)) {
            mine = coefficients.numerator[lane];
        }
    } else {
        degree = lane - M;
        if (inside(degree - 1, coefficients.denominators)) {
            mine = magnitude(coefficients.denominator[degree - 1]);
        }
    }
    const f32 room = HEADROOM - binary_logarithm(magnitude(mine));
    f32 exponent = room;
    if (degree != 0) {
        exponent = room / static_cast<f32>(degree);
    }
    exponent = warp_least(least(exponent, HEADROOM / static_cast<f32>(M)));

    Unit<M, N> unit;
    UNROLL for (i32 k = 0; k <= M; ++k) {
        unit.a[k] = shuffle(mine, k);
    }
    UNROLL for (i32 k = 0; k < N; ++k) {
        unit.b[k] = shuffle(mine, k + M + 1);
    }
    unit.limit = -1.0f;
    if (exponent >= 0.0f) {
        unit.limit = power_of_two(static_cast<i32>(round_down(exponent)));
    }
    return unit;
}

// F(x) for |x| up to the unit's limit.
template <i32 M, i32 N>
DEVICE f32 value(const Unit<M, N>& unit, f32 x) {
    const f32 size = magnitude(x);
    f32 p = unit.a[M];
    UNROLL for (i32 k = M - 1; k >= 0; --k) {
        p = fused(p, x, unit.a[k]);
    }
    f32 q = unit.b[N - 1];
    UNROLL for (i32 k = N - 2; k >= 0; --k) {
        q = fused(q, size, unit.b[k]);
    }
    return p * reciprocal(fused(q, size, 1.0f));
}

}  // namespace pade
