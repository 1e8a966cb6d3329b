// Tensor-core products of one warp, computed from the fragments that its 32 lanes hold (`gpu.cuh` states their layout).
#pragma once

#include "scheduler.hpp"

namespace host {

// Four i8 in a register.
struct Bytes {
    using Sum = i32;
    static constexpr i32 PER_REGISTER = 4;
    static i32 element(u32 packed, i32 index) { return static_cast<i8>(packed >> (8 * index) & 0xff); }
};

// Two f16 or bf16 in a register.
template <class T>
struct Halves {
    using Sum = f32;
    static constexpr i32 PER_REGISTER = 2;
    static f32 element(u32 packed, i32 index) { return widen(T{static_cast<u16>(packed >> (16 * index) & 0xffff)}); }
};

template <class Format>
void mma(Array<typename Format::Sum, 4>& d, const Array<u32, 4>& a, const Array<u32, 2>& b, Site site) {
    struct Fragments {
        Array<u32, 4> a;
        Array<u32, 2> b;
    };
    const Exchanged<Fragments> lanes = exchange(Fragments{a, b}, site);
    constexpr i32 EACH = Format::PER_REGISTER;
    const i32 group = here().lane() / 4, place = here().lane() % 4;
    for (i32 i = 0; i < 4; ++i) {
        const i32 row = group + i / 2 * 8, column = 2 * place + i % 2;
        for (i32 k = 0; k < 8 * EACH; ++k) {
            // Column k of A and row k of B: place k / EACH within its half of the eight places.
            const i32 half = k / (4 * EACH), holder = k / EACH % 4;
            const Fragments rows = lanes.from(row % 8 * 4 + holder), columns = lanes.from(column * 4 + holder);
            d[i] += Format::element(rows.a[2 * half + row / 8], k % EACH) * Format::element(columns.b[half], k % EACH);
        }
    }
}

}  // namespace host
