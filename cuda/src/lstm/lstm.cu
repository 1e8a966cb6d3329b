// A layer of an LSTM (Hochreiter & Schmidhuber 1997; gates in ONNX's order i, o, f, c): what all steps take from their inputs, as one
// product, and the steps. `lstm/mod.rs` says when recurrent weights stay in registers, and how they are packed.
//
// Columns of products are steps in the one kernel and records in the other.
#include "cells.cuh"

namespace lstm {

constexpr i32 PROJECT_THREADS = 128;
// Inputs of one block of the product, in tiles of eight columns.
constexpr i32 ROWS = 16;
constexpr i32 COLUMNS = 8;

// projected [rows, hidden, gates] = input [rows, inputs] · weightsᵀ + biases; `count` counters become 0.
template <class T>
DEVICE void project(
    const In<Signal<T>>& input, const Weights<T>& weights, const Out<f32>& projected, i32 rows, i32 inputs, i32 hidden,
    const Out<u32>& counters, i32 count, const Rounding& rounding
) {
    SHARED_DYNAMIC(T, x);
    const i32 stride = stride_of<T>(inputs);
    const i32 first = block_index() * ROWS;
    const i32 packs = inputs / PACK<T>;
    for (i32 i = thread_index(); i < ROWS * packs; i += PROJECT_THREADS) {
        const i32 row = i / packs;
        const i32 column = i % packs * PACK<T>;
        Pack<T, PACK<T>> pack = {};
        if (inside(first + row, rows)) {
            pack = load_rounded<T, Signal<T>>(input, static_cast<i64>(first + row) * inputs + column, rounding);
        }
        store_pack<PACK<T>>(x, row * stride + column, pack);
    }
    block_barrier();

    constexpr i32 SIDES = ROWS / COLUMNS;
    const i32 group = block_row() * (PROJECT_THREADS / WARP) + warp_index();
    const i32 steps = inputs / Tile<T>::DEPTH;
    Array<Sums<T>, 2 * SIDES> sums = {};
    // Whole numbers of them: inputs are multiples of 64.
    constexpr i32 AT_ONCE = sizeof(T) == 1 ? 2 : 4;
    ROLLED for (i32 begin = 0; begin < steps; begin += AT_ONCE) {
        UNROLL for (i32 step = begin; step < begin + AT_ONCE; ++step) {
            Array<typename Tile<T>::Right, SIDES> columns;
            UNROLL for (i32 side = 0; side < SIDES; ++side) {
                columns[side] = right<T>(x + (side * COLUMNS * stride + step * Tile<T>::DEPTH), stride);
            }
            UNROLL for (i32 half = 0; half < 2; ++half) {
                const typename Tile<T>::Left gates = packed_left<T>(weights.fragments, 0, (2 * group + half) * steps + step);
                UNROLL for (i32 side = 0; side < SIDES; ++side) {
                    multiply<T>(sums[half * SIDES + side], gates, columns[side]);
                }
            }
        }
    }

    const i32 unit = group * UNITS + lane_index() / 4;
    const Pack<f32, GATES> biases = load_pack<GATES>(weights.terms, unit * GATES);
    const Scales<T> scales = scales_of(weights, hidden, 0, unit);
    UNROLL for (i32 i = 0; i < 2 * SIDES; ++i) {
        const i32 row = first + i / 2 * COLUMNS + column_of(i % 2);
        Pack<f32, GATES> values;
        UNROLL for (i32 gate = 0; gate < GATES; ++gate) {
            values[gate] = gate_of<T, 1, SIDES>(sums, gate, i, scales, biases[gate]);
        }
        if (inside(row, rows)) {
            store_pack<GATES>(projected, (static_cast<i64>(row) * hidden + unit) * GATES, values);
        }
    }
    if (block_index() == 0 && block_row() == 0) {
        ROLLED for (i32 i = thread_index(); i < count; i += PROJECT_THREADS) {
            counters[i] = 0;
        }
    }
}

template <class T, i32 HIDDEN, i32 WARPS, bool RESIDENT>
DEVICE void recur(
    const In<f32>& projected, const Weights<T>& weights, const Out<Signal<T>>& outputs, const Out<f32>& latent, i32 last,
    i32 records, i32 steps, i32 inputs
) {
    constexpr i32 THREADS = WARPS * WARP;
    constexpr i32 GROUPS = HIDDEN / UNITS / WARPS;
    static_assert(GROUPS * UNITS * WARPS == HIDDEN, "whole groups of units");
    constexpr i32 DEPTH = Tile<T>::DEPTH;
    constexpr i32 DEEP = HIDDEN / DEPTH;
    constexpr i32 STRIDE = stride_of<T>(HIDDEN);
    // Of the state: numbers of a part, parts, and the two of which one is read while the other is written.
    constexpr i32 PART = TILE * STRIDE;
    constexpr i32 PARTS = sizeof(T) == 1 ? 2 : 1;
    constexpr i32 SIDE = PART * PARTS;
    SHARED(T, state, 2 * SIDE);

    const i64 recurrent = static_cast<i64>(GATES) * HIDDEN * inputs;
    constexpr i32 HELD = RESIDENT ? 2 * GROUPS * DEEP : 1;
    Array<typename Tile<T>::Left, HELD> held;
    if constexpr (RESIDENT) {
        UNROLL for (i32 i = 0; i < HELD; ++i) {
            held[i] = packed_left<T>(weights.fragments, recurrent, warp_index() * HELD + i);
        }
    }
    for (i32 i = thread_index(); i < TILE * HIDDEN; i += THREADS) {  // harmless once more: the other side, not read before it is written
        put_state<T, PARTS, PART>(state, i / HIDDEN * STRIDE + i % HIDDEN, 0.0f);
    }
    block_barrier();

    // Of each unit and record of this lane.
    Array<f32, 2 * GROUPS> cells = {};
    const i32 record = block_index() * TILE + column_of(0);
    constexpr i32 AT_ONCE = RESIDENT || DEEP < 4 ? DEEP : 4;
    static_assert(DEEP % AT_ONCE == 0, "a whole number of rounds");
    ROLLED for (i32 step = 0; step < steps; ++step) {
        const Shared<T> before = state + step % 2 * SIDE;
        const i32 after = (step + 1) % 2 * SIDE;
        UNROLL for (i32 group = 0; group < GROUPS; ++group) {
            const i32 unit = (warp_index() * GROUPS + group) * UNITS + lane_index() / 4;
            Array<Pack<f32, GATES>, 2> from_input = {};
            UNROLL for (i32 i = 0; i < 2; ++i) {
                const i64 row = static_cast<i64>(record + i) * steps + step;
                if (inside(record + i, records)) {
                    from_input[i] = load_pack<GATES>(projected, (row * HIDDEN + unit) * GATES);
                }
            }
            Array<Sums<T>, 2 * PARTS> sums = {};
            ROLLED for (i32 begin = 0; begin < DEEP; begin += AT_ONCE) {
                UNROLL for (i32 at = 0; at < AT_ONCE; ++at) {
                    const i32 deep = RESIDENT ? at : begin + at;
                    Array<typename Tile<T>::Right, PARTS> columns;
                    UNROLL for (i32 part = 0; part < PARTS; ++part) {
                        columns[part] = right<T>(before + (part * PART + deep * DEPTH), STRIDE);
                    }
                    UNROLL for (i32 half = 0; half < 2; ++half) {
                        const i32 index = (2 * group + half) * DEEP + deep;
                        typename Tile<T>::Left gates;
                        if constexpr (RESIDENT) {
                            gates = held[index];
                        } else {
                            gates = packed_left<T>(weights.fragments, recurrent, warp_index() * 2 * GROUPS * DEEP + index);
                        }
                        UNROLL for (i32 part = 0; part < PARTS; ++part) {
                            multiply<T>(sums[half * PARTS + part], gates, columns[part]);
                        }
                    }
                }
            }
            const Scales<T> scales = scales_of(weights, HIDDEN, 1, unit);
            UNROLL for (i32 i = 0; i < 2; ++i) {
                Array<f32, GATES> gates;
                UNROLL for (i32 gate = 0; gate < GATES; ++gate) {
                    gates[gate] = gate_of<T, PARTS, 1>(sums, gate, i, scales, from_input[i][gate]);
                }
                const f32 value = moved_on(gates, cells[2 * group + i]);
                put_state<T, PARTS, PART>(state, after + column_of(i) * STRIDE + unit, value);
                if (inside(record + i, records)) {
                    if (last == 0) {
                        const i64 row = static_cast<i64>(record + i) * steps + step;
                        outputs[row * HIDDEN + unit] = narrow<Signal<T>>(value);
                    } else if (step == steps - 1) {
                        latent[static_cast<i64>(record + i) * HIDDEN + unit] = value;
                    }
                }
            }
        }
        block_barrier();
    }
}

}  // namespace lstm

#define LSTM_PROJECT(T)                                                                                                   \
    KERNEL(                                                                                                               \
        lstm_project_##T, lstm::PROJECT_THREADS,                                                                          \
        (In<Signal<T>> input, In<T> fragments, In<f32> terms, Out<f32> projected, i32 rows, i32 inputs, i32 hidden,       \
         Out<u32> counters, i32 count)                                                                                    \
    ) {                                                                                                                   \
        lstm::project<T>(input, {fragments, terms, {}}, projected, rows, inputs, hidden, counters, count, {});            \
    }

LSTM_PROJECT(f32)
LSTM_PROJECT(f16)
LSTM_PROJECT(bf16)

KERNEL(
    lstm_project_i8, lstm::PROJECT_THREADS,
    (In<f32> input, In<i8> fragments, In<f32> terms, In<i32> sums, Out<f32> projected, i32 rows, i32 inputs, i32 hidden,
     Out<u32> counters, i32 count, f32 inverse, i32 zero_point)
) {
    lstm::project<i8>(
        input, {fragments, terms, sums}, projected, rows, inputs, hidden, counters, count, {inverse, zero_point}
    );
}

#define LSTM_STEPS(T, HIDDEN, WARPS, RESIDENT)                                                                            \
    KERNEL(                                                                                                               \
        lstm_steps_##T##_##HIDDEN, WARPS * WARP,                                                                          \
        (In<f32> projected, In<T> fragments, In<f32> terms, Out<Signal<T>> outputs, Out<f32> latent, i32 last,            \
         i32 records, i32 steps, i32 inputs)                                                                              \
    ) {                                                                                                                   \
        lstm::recur<T, HIDDEN, WARPS, RESIDENT>(                                                                          \
            projected, {fragments, terms, {}}, outputs, latent, last, records, steps, inputs                              \
        );                                                                                                                \
    }
#define LSTM_STEPS_I8(HIDDEN, WARPS, RESIDENT)                                                                            \
    KERNEL(                                                                                                               \
        lstm_steps_i8_##HIDDEN, WARPS * WARP,                                                                             \
        (In<f32> projected, In<i8> fragments, In<f32> terms, In<i32> sums, Out<f32> outputs, Out<f32> latent, i32 last,   \
         i32 records, i32 steps, i32 inputs)                                                                              \
    ) {                                                                                                                   \
        lstm::recur<i8, HIDDEN, WARPS, RESIDENT>(                                                                         \
            projected, {fragments, terms, sums}, outputs, latent, last, records, steps, inputs                            \
        );                                                                                                                \
    }

LSTM_STEPS(f32, 64, 4, false)
LSTM_STEPS(f16, 64, 4, true)
LSTM_STEPS(bf16, 64, 4, false)
LSTM_STEPS_I8(64, 4, false)
LSTM_STEPS(f32, 128, 16, false)
LSTM_STEPS(f16, 128, 16, true)
LSTM_STEPS(bf16, 128, 16, true)
LSTM_STEPS_I8(128, 16, true)
LSTM_STEPS(f32, 256, 16, false)
LSTM_STEPS(f16, 256, 16, false)
LSTM_STEPS(bf16, 256, 16, false)
LSTM_STEPS_I8(256, 16, false)
LSTM_STEPS(f32, 512, 16, false)
LSTM_STEPS(f16, 512, 16, false)
LSTM_STEPS(bf16, 512, 16, false)
LSTM_STEPS_I8(512, 16, false)
