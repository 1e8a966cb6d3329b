// Gradients of the Padé activation, in f32 up to a unit's limit and in f64 beyond it, for whoever goes backward through it.
#pragma once

#include "pade.cuh"

namespace pade {

// Sums over the degrees 0 … D of a unit at one x, in f64 and in powers of |x| or 1/|x|, whichever is at most 1. They share
// the factor |x|^-D in the second case, which their quotients lose.
struct Exact {
    f64 value;
    f64 derivative;
    f64 power;
    f64 q;
    i32 degree;
    bool small;
};

DEVICE Exact exact(const Coefficients& coefficients, f32 x) {
    Exact at;
    const f64 size = magnitude(static_cast<f64>(x));
    const bool negative = x < 0.0f;
    at.small = size <= 1.0;
    at.power = at.small ? size : 1.0 / size;
    at.degree = coefficients.denominators;
    if (coefficients.numerators - 1 > at.degree) {
        at.degree = coefficients.numerators - 1;
    }
    f64 p = 0.0, p_slope = 0.0, q_slope = 0.0;
    at.q = 0.0;
    for (i32 step = 0; step <= at.degree; ++step) {
        const i32 k = at.small ? at.degree - step : step;
        f64 a = 0.0, b = 1.0;
        if (inside(k, coefficients.numerators)) {
            a = static_cast<f64>(coefficients.numerator[k]);
        }
        if (k > 0) {
            b = 0.0;
            if (inside(k - 1, coefficients.denominators)) {
                b = magnitude(static_cast<f64>(coefficients.denominator[k - 1]));
            }
        }
        if (negative && k % 2 != 0) {
            a = -a;
        }
        p = p * at.power + a;
        at.q = at.q * at.power + b;
        if (k > 0) {
            p_slope = p_slope * at.power + a * static_cast<f64>(k);
            q_slope = q_slope * at.power + b * static_cast<f64>(k);
        }
    }
    at.value = p / at.q;
    // d|x|/dx is 0 at 0; the sign of x was put into a_k, one time more than its derivative has it.
    const f64 sign = negative ? -1.0 : 1.0;
    const f64 towards = size > 0.0 ? sign : 0.0;
    at.derivative = (sign * p_slope - towards * at.value * q_slope) / at.q;
    if (!at.small) {
        at.derivative *= at.power;
    }
    if (!is_finite(x)) {
        at.value = static_cast<f64>(not_a_number());
        at.derivative = at.value;
        at.q = at.value;
    }
    return at;
}

// |x|^k / Q(x).
DEVICE f64 exact_weight(const Exact& at, i32 k) {
    const i32 exponent = at.small ? k : at.degree - k;
    f64 weight = 1.0 / at.q;
    for (i32 i = 0; i < exponent; ++i) {
        weight *= at.power;
    }
    return weight;
}

// Adds what an element beyond the limit adds to the gradients of the coefficients: of a_k at `terms[k]`, of |b_k| at `terms[m + k]`.
template <i32 COUNT>
DEVICE void add_exact_terms(
    const Coefficients& coefficients, const Exact& point, bool negative, f32 gradient, i32 m, Array<f32, COUNT>& terms
) {
    for (i32 k = 0; k < coefficients.numerators; ++k) {
        const f64 sign = negative && k % 2 != 0 ? -1.0 : 1.0;
        terms[k] += static_cast<f32>(static_cast<f64>(gradient) * sign * exact_weight(point, k));
    }
    for (i32 k = 1; k <= coefficients.denominators; ++k) {  // harmless once more: nobody reads that sum
        const f64 weight = point.value * exact_weight(point, k);
        terms[m + k] -= static_cast<f32>(static_cast<f64>(gradient) * weight);
    }
}

// gradient · F'(x); adds the element's terms to `sums`: of a_k at k, of |b_k| at M + k.
template <i32 M, i32 N>
DEVICE f32 gradient_at(const Unit<M, N>& unit, f32 x, f32 gradient, Array<f32, M + 1 + N>& sums) {
    const f32 size = magnitude(x);
    f32 p_slope = unit.a[M];
    f32 p = fused(p_slope, x, unit.a[M - 1]);
    UNROLL for (i32 k = M - 2; k >= 0; --k) {
        p_slope = fused(p_slope, x, p);
        p = fused(p, x, unit.a[k]);
    }
    f32 q_slope = unit.b[N - 1];
    f32 q = fused(q_slope, size, unit.b[N - 2]);
    UNROLL for (i32 k = N - 3; k >= 0; --k) {
        q_slope = fused(q_slope, size, q);
        q = fused(q, size, unit.b[k]);
    }
    q_slope = fused(q_slope, size, q);
    const f32 inverse = reciprocal(fused(q, size, 1.0f));
    const f32 value = p * inverse;
    const f32 numerator_term = gradient * inverse;
    const f32 denominator_term = -numerator_term * value;
    sums[0] += numerator_term;
    f32 power = x;
    UNROLL for (i32 k = 1; k <= N; ++k) {
        sums[k] = fused(numerator_term, power, sums[k]);
        sums[M + k] = fused(denominator_term, magnitude(power), sums[M + k]);
        power *= x;
    }
    UNROLL for (i32 k = N + 1; k <= M; ++k) {
        sums[k] = fused(numerator_term, power, sums[k]);
        power *= x;
    }
    // The slope of |x| has the sign of x; at 0 it is 0.
    const f32 towards = x == 0.0f ? 0.0f : with_sign(q_slope, x);
    return numerator_term * fused(-value, towards, p_slope);
}

// Block k adds the partial sums of coefficient k of the unit. `rows` is M + 1 of the kernel that wrote them.
template <i32 THREADS>
DEVICE void gradients(
    In<f32> partials, i32 blocks, i32 rows, const Coefficients& coefficients, Out<f32> numerator, Out<f32> denominator
) {
    const bool above = inside(block_index(), coefficients.numerators);
    const i32 index = above ? block_index() : block_index() - coefficients.numerators;
    const i64 row = static_cast<i64>(above ? index : rows + index) * blocks;
    f64 sum = 0.0;
    for (i32 i = thread_index(); i < blocks; i += THREADS) {
        sum += static_cast<f64>(partials[row + i]);
    }
    constexpr i32 WARPS = THREADS / WARP;
    SHARED(f64, of_warps, WARPS);
    sum = warp_sum(sum);
    if (lane_index() == 0) {
        of_warps[warp_index()] = sum;
    }
    block_barrier();
    if (thread_index() == 0) {
        f64 total = 0.0;
        for (i32 warp = 0; warp < WARPS; ++warp) {
            total += of_warps[warp];
        }
        if (above) {
            numerator[index] = static_cast<f32>(total);
        } else {
            const f32 b = coefficients.denominator[index];
            const f64 sign = b > 0.0f ? 1.0 : (b < 0.0f ? -1.0 : 0.0);
            denominator[index] = static_cast<f32>(sign * total);
        }
    }
}

}  // namespace pade
