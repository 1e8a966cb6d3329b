// What the kernels of an LSTM share: its gates, and how a cell moves on.
//
// A warp has all gates of eight hidden units, two tiles of 16 rows: i and o, then f and c. Of eight columns, lane 4g + t has in its sums
// those of unit g and columns 2t and 2t + 1, all four gates.
#pragma once

#include "packed.cuh"

constexpr i32 GATES = 4;
// Units of a warp at a time: those of a tile's rows, of two gates.
constexpr i32 UNITS = 8;
// Records that a block moves on together.
constexpr i32 TILE = 8;

template <class T>
using Sums = typename Tile<T>::Accumulator;

// The i-th column of this lane.
DEVICE i32 column_of(i32 i) { return lane_index() % 4 * 2 + i; }

// What turns integer sums of a unit's gates into values.
template <class T>
struct Scales {
    Pack<f32, GATES> factors;
    Pack<i32, GATES> excess;
};

// Of the products with the input (0) or with the state (1).
template <class T>
DEVICE Scales<T> scales_of(const Weights<T>& weights, i32 hidden, i32 which, i32 unit) {
    Scales<T> scales = {};
    if constexpr (sizeof(T) == 1) {
        scales.factors = load_pack<GATES>(weights.terms, ((1 + which) * hidden + unit) * GATES);
        scales.excess = load_pack<GATES>(weights.sums, (which * hidden + unit) * GATES);
    }
    return scales;
}

// A gate of column `i` of this lane, from sums [two tiles][EACH], and `term` added. With two parts, the first of them counts 256 times.
template <class T, i32 PARTS, i32 SIDES>
DEVICE f32 gate_of(
    const Array<Sums<T>, 2 * PARTS * SIDES>& sums, i32 gate, i32 i, const Scales<T>& scales, f32 term
) {
    const i32 tile = (gate / 2 * SIDES + i / 2) * PARTS;
    const i32 place = gate % 2 * 2 + i % 2;
    if constexpr (sizeof(T) == 1) {
        i32 sum = sums[tile][place];
        if constexpr (PARTS == 2) {
            sum = sum * 256 + sums[tile + 1][place];
        }
        return value_of(sum, scales.excess[gate], scales.factors[gate], term);
    } else {
        return sums[tile][place] + term;
    }
}

// The output of a cell whose gates are these, and the cell moved on.
DEVICE f32 moved_on(const Array<f32, GATES>& gates, f32& cell) {
    cell = fused(logistic(gates[0]), tanh_of(gates[3]), logistic(gates[2]) * cell);
    return logistic(gates[1]) * tanh_of(cell);
}

// A hidden state as the product takes it: of i8 two numbers, the state in multiples of 1/32767 being 256 times the first plus the second
// plus 128, which the packed sums make up for.
template <class T, i32 PARTS, i32 PART>
DEVICE void put_state(const Shared<T>& state, i32 at, f32 value) {
    if constexpr (PARTS == 2) {
        const i32 whole = nearest(value * 32767.0f);
        state[at] = static_cast<T>(whole >> 8);
        state[at + PART] = static_cast<T>((whole & 255) - 128);
    } else {
        state[at] = narrow<T>(value);
    }
}
