// Numbers of a device on the host: f16 and bf16 by their bits, and arrays that check their indices.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "fault.hpp"

namespace host {

using i8 = std::int8_t;
using u8 = std::uint8_t;
using i16 = std::int16_t;
using u16 = std::uint16_t;
using i32 = std::int32_t;
using u32 = std::uint32_t;
using i64 = std::int64_t;
using u64 = std::uint64_t;
using f32 = float;
using f64 = double;
struct f16 {
    u16 bits;
};
struct bf16 {
    u16 bits;
};

template <class To, class From>
inline To bits_as(From from) {
    static_assert(sizeof(To) == sizeof(From), "as many bits");
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

// Registers of a thread.
template <class T, i32 N>
struct Array {
    T elements[N];
    T& operator[](i64 index) {
        check(index);
        return elements[index];
    }
    const T& operator[](i64 index) const {
        check(index);
        return elements[index];
    }

  private:
    static void check(i64 index) {
        if (index < 0 || index >= N) {
            fault("register array of %d: index %lld", N, static_cast<long long>(index));
        }
    }
};

inline f32 widen(f32 x) { return x; }
inline f32 widen(bf16 x) { return bits_as<f32>(static_cast<u32>(x.bits) << 16); }
inline f32 widen(f16 x) {
    const u32 sign = static_cast<u32>(x.bits & 0x8000) << 16;
    const i32 exponent = x.bits >> 10 & 31;
    const u32 fraction = x.bits & 1023;
    if (exponent == 31) {
        return bits_as<f32>(sign | 0x7f800000 | fraction << 13);
    }
    const f32 size = exponent == 0 ? std::ldexp(static_cast<f32>(fraction), -24)
                                   : std::ldexp(static_cast<f32>(1024 + fraction), exponent - 25);
    return bits_as<f32>(bits_as<u32>(size) | sign);
}

template <class T>
T rounded(f32 x);
template <>
inline f32 rounded<f32>(f32 x) {
    return x;
}
// To the nearest, ties to even, as `cvt.rn`.
template <>
inline bf16 rounded<bf16>(f32 x) {
    const u32 bits = bits_as<u32>(x);
    if (std::isnan(x)) {
        return {0x7fff};
    }
    return {static_cast<u16>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
template <>
inline f16 rounded<f16>(f32 x) {
    const u16 sign = static_cast<u16>(bits_as<u32>(x) >> 16 & 0x8000);
    if (std::isnan(x)) {
        return {0x7fff};
    }
    const f32 size = std::fabs(x);
    if (size >= 65520.0f) {
        return {static_cast<u16>(sign | 0x7c00)};
    }
    // Units of the last place: 2^-24 below 2^-14, else 2^(exponent - 10).
    const i32 exponent = size < 0x1p-14f ? -14 : std::ilogb(size);
    const f32 units = std::nearbyint(std::ldexp(size, 10 - exponent));
    const u32 magnitude = static_cast<u32>(exponent + 14) * 1024 + static_cast<u32>(units);
    return {static_cast<u16>(sign | magnitude)};
}

}  // namespace host
