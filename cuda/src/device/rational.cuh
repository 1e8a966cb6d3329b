// The activation of a trained network, order 5/4, for every x: beyond the limit of `pade.cuh` in powers of 1/x.
#pragma once

#include "pade.cuh"

// A unit's coefficients in registers, or the identity.
struct Activation {
    pade::Unit<5, 4> unit;
    bool identity;
};

// `numerators` 0 stands for the identity. All lanes together.
DEVICE Activation load_activation(In<f32> numerator, i32 numerators, In<f32> denominator, i32 denominators) {
    Activation activation;
    activation.identity = numerators == 0;
    if (!activation.identity) {
        activation.unit = pade::load_unit<5, 4>({numerator, numerators, denominator, denominators});
    }
    return activation;
}

// F(x) = x · (a5 + a4 r + … + a0 r⁵) / (|b4| + |b3| |r| + … + |r|⁴), r = 1/x. What is not finite is not a number. Units whose
// higher coefficients are all 0 lose bits here beyond 2^31, where r⁴ is subnormal; nothing trained comes near.
DEVICE f32 far_value(const pade::Unit<5, 4>& unit, f32 x) {
    const f32 r = reciprocal(x);
    const f32 size = magnitude(r);
    f32 p = unit.a[0];
    UNROLL for (i32 k = 1; k <= 5; ++k) {
        p = fused(p, r, unit.a[k]);
    }
    f32 q = 1.0f;
    UNROLL for (i32 k = 0; k < 4; ++k) {
        q = fused(q, size, unit.b[k]);
    }
    return is_finite(x) ? x * (p * reciprocal(q)) : not_a_number();
}

DEVICE f32 activated(const Activation& activation, f32 x) {
    if (activation.identity) {
        return x;
    }
    if (magnitude(x) <= activation.unit.limit) {
        return pade::value(activation.unit, x);
    }
    return far_value(activation.unit, x);
}
