// All layers of an LSTM at once, weights in registers and shared memory over all steps: a chain of stages that hand steps on, each
// spread over as many blocks as its weights need. `chain/mod.rs` says when, and why blocks may wait for one another.
//
// Stage 2l moves layer l on, stage 2l - 1 computes what that layer takes from the one below. Of a stage's `SLICES` blocks each has
// HIDDEN / SLICES units, eight to a warp.
#include "cells.cuh"

namespace chain {

template <class T>
struct Layers {
    Weights<T> first;
    Weights<T> second;
    Weights<T> third;
};

// Elements of a step of a packed tile.
template <class T>
constexpr i32 FRAGMENT = 16 * Tile<T>::DEPTH;

// What this lane takes of one that begins at element `at` of shared memory.
template <class T>
DEVICE typename Tile<T>::Left stored_left(const Shared<T>& fragments, i32 at) {
    constexpr i32 EACH = PACK<T>;
    if constexpr (Tile<T>::DEPTH == 4) {
        const i32 row = at + lane_index() / 4 * EACH;
        return {load_shared<EACH>(fragments, row), load_shared<EACH>(fragments, row + 8 * EACH)};
    } else {
        return words(load_shared<EACH>(fragments, at + lane_index() * EACH));
    }
}

// Where a block is in the chain, for one tile of records.
struct Place {
    i32 stage;
    i32 stages;
    i32 slice;
    i32 tile;
    i32 records;
    i32 steps;
};

// The counter of a step of a stage: how many of its blocks have handed it on.
DEVICE i64 counter_of(const Place& place, i32 stage, i32 step) {
    return static_cast<i64>(place.tile * place.stages + stage) * place.steps + step;
}

// Of the first `HELD` steps of each product weights stay in registers, of the others in shared memory.
template <class T, i32 HIDDEN, i32 SLICES, i32 HELD>
struct Stage {
    static constexpr i32 WARPS = HIDDEN / SLICES / UNITS;
    static constexpr i32 THREADS = WARPS * WARP;
    static_assert(WARPS * UNITS * SLICES == HIDDEN, "whole warps of units");
    static constexpr i32 DEPTH = Tile<T>::DEPTH;
    static constexpr i32 DEEP = HIDDEN / DEPTH;
    static constexpr i32 STORED = DEEP - HELD;
    static constexpr i32 STRIDE = stride_of<T>(HIDDEN);
    static constexpr i32 PART = TILE * STRIDE;
    // Of a hidden state. What a layer takes from the one below has one part.
    static constexpr i32 PARTS = sizeof(T) == 1 ? 2 : 1;
    static constexpr i32 SIDE = PART * PARTS;
    // A stage of one block writes its next state beside the one that it reads.
    static constexpr i32 SIDES = SLICES == 1 ? 2 : 1;
    // Steps that are handed on together: waiting for each would keep a stage of one block longer than its products.
    static constexpr i32 TOGETHER = SLICES > 1 ? 1 : HIDDEN == 64 ? 2 : 8;

    Array<typename Tile<T>::Left, HELD == 0 ? 1 : 2 * HELD> held;
    Shared<T> operand;
    Shared<T> stored;

    // Takes the slice of a matrix that begins at element `first`.
    METHOD void take(const In<T>& fragments, i64 first, i32 slice) {
        const i32 tiles = (slice * WARPS + warp_index()) * 2;
        if constexpr (HELD > 0) {
            UNROLL for (i32 i = 0; i < 2 * HELD; ++i) {
                held[i] = packed_left<T>(fragments, first, (tiles + i / HELD) * DEEP + i % HELD);
            }
        }
        if constexpr (STORED > 0) {
            constexpr i32 PACKS = STORED * FRAGMENT<T> / PACK<T>;
            const i64 begin = first + static_cast<i64>(slice) * 2 * WARPS * DEEP * FRAGMENT<T>;
            for (i32 i = thread_index(); i < 2 * WARPS * PACKS; i += THREADS) {
                const i64 from = begin + (i / PACKS * DEEP + HELD) * FRAGMENT<T> + i % PACKS * PACK<T>;
                store_pack<PACK<T>>(stored, i * PACK<T>, load_pack<PACK<T>>(fragments, from));
            }
        }
    }

    // Sums of this warp's gates, operands of TAKEN parts at `at`.
    template <i32 TAKEN>
    METHOD Array<Sums<T>, 2 * TAKEN> sums_of(i32 at) const {
        Array<Sums<T>, 2 * TAKEN> sums = {};
        if constexpr (HELD > 0) {
            UNROLL for (i32 deep = 0; deep < HELD; ++deep) {
                const Array<typename Tile<T>::Left, 2> gates = {held[deep], held[HELD + deep]};
                add<TAKEN>(sums, at + deep * DEPTH, gates);
            }
        }
        if constexpr (STORED > 0) {
            constexpr i32 ROUND = STORED % 4 == 0 ? 4 : 1;
            ROLLED for (i32 begin = 0; begin < STORED; begin += ROUND) {
                UNROLL for (i32 deep = begin; deep < begin + ROUND; ++deep) {
                    const i32 index = warp_index() * 2 * STORED + deep;
                    const typename Tile<T>::Left above = stored_left<T>(stored, index * FRAGMENT<T>);
                    const typename Tile<T>::Left below = stored_left<T>(stored, (index + STORED) * FRAGMENT<T>);
                    const Array<typename Tile<T>::Left, 2> gates = {above, below};
                    add<TAKEN>(sums, at + (HELD + deep) * DEPTH, gates);
                }
            }
        }
        return sums;
    }

    template <i32 TAKEN>
    METHOD void add(Array<Sums<T>, 2 * TAKEN>& sums, i32 at, const Array<typename Tile<T>::Left, 2>& gates) const {
        UNROLL for (i32 part = 0; part < TAKEN; ++part) {
            const typename Tile<T>::Right columns = right<T>(operand + (part * PART + at), STRIDE);
            UNROLL for (i32 half = 0; half < 2; ++half) {
                multiply<T>(sums[half * TAKEN + part], gates[half], columns);
            }
        }
    }

    // Makes operands of a step's states of the tile's records, or of zeros, as a state or as what the next layer takes.
    template <i32 TAKEN>
    METHOD void fill(const Out<Signal<T>>& states, const Place& place, i32 step, bool zeros, const Rounding& rounding) const {
        using S = Signal<T>;
        constexpr i32 PACKS = HIDDEN / PACK<S>;
        for (i32 i = thread_index(); i < TILE * PACKS; i += THREADS) {
            const i32 record = place.tile * TILE + i / PACKS;
            const i32 to = i / PACKS * STRIDE + i % PACKS * PACK<S>;
            Pack<S, PACK<S>> values = {};
            if (!zeros && inside(record, place.records)) {
                const i64 row = static_cast<i64>(record) * place.steps + step;
                values = load_fresh(states, row * HIDDEN + i % PACKS * PACK<S>);
            }
            if constexpr (sizeof(S) == sizeof(T)) {
                store_pack<PACK<T>>(operand, to, values);
            } else {
                UNROLL for (i32 k = 0; k < PACK<S>; ++k) {
                    if constexpr (TAKEN == 2) {
                        put_state<T, 2, PART>(operand, to + k, values[k]);
                    } else {
                        operand[to + k] = rounded<T>(values[k], rounding);
                    }
                }
            }
        }
    }
};

// What layer `weights` takes from the one below: states there become gates, both of all steps.
template <class T, i32 HIDDEN, i32 SLICES, i32 HELD>
DEVICE void project(
    Stage<T, HIDDEN, SLICES, HELD>& stage, const Weights<T>& weights, const Out<Signal<T>>& states, const Out<f32>& gates,
    const Out<u32>& counters, const Place& place, const Rounding& rounding
) {
    using Own = Stage<T, HIDDEN, SLICES, HELD>;
    stage.take(weights.fragments, 0, place.slice);
    const i32 unit = (place.slice * Own::WARPS + warp_index()) * UNITS + lane_index() / 4;
    const Pack<f32, GATES> biases = load_pack<GATES>(weights.terms, unit * GATES);
    const Scales<T> scales = scales_of(weights, HIDDEN, 0, unit);
    const i32 record = place.tile * TILE + column_of(0);
    ROLLED for (i32 step = 0; step < place.steps; ++step) {
        if (step % Own::TOGETHER == 0 && thread_index() == 0) {
            const i32 last = step + Own::TOGETHER < place.steps ? step + Own::TOGETHER - 1 : place.steps - 1;
            wait_for(counters, counter_of(place, place.stage - 1, last), SLICES);
        }
        block_barrier();
        stage.template fill<1>(states, place, step, false, rounding);
        block_barrier();
        const Array<Sums<T>, 2> sums = stage.template sums_of<1>(0);
        UNROLL for (i32 i = 0; i < 2; ++i) {
            Pack<f32, GATES> values;
            UNROLL for (i32 gate = 0; gate < GATES; ++gate) {
                values[gate] = gate_of<T, 1, 1>(sums, gate, i, scales, biases[gate]);
            }
            if (inside(record + i, place.records)) {
                const i64 row = static_cast<i64>(record + i) * place.steps + step;
                store_pack<GATES>(gates, (row * HIDDEN + unit) * GATES, values);
            }
        }
        if (step % Own::TOGETHER == Own::TOGETHER - 1 || step == place.steps - 1) {
            block_barrier();
            if (thread_index() == 0) {
                publish(counters, counter_of(place, place.stage, step));
            }
        }
    }
}

// Moves a layer on. Of the first one gates are in `projected`, of others in `gates`.
template <class T, i32 HIDDEN, i32 SLICES, i32 HELD>
DEVICE void recur(
    Stage<T, HIDDEN, SLICES, HELD>& stage, const Weights<T>& weights, const In<f32>& projected, const Out<Signal<T>>& states,
    const Out<f32>& gates, const Out<f32>& latent, const Out<u32>& counters, const Place& place, i32 inputs
) {
    using Own = Stage<T, HIDDEN, SLICES, HELD>;
    constexpr i32 PARTS = Own::PARTS;
    stage.take(weights.fragments, static_cast<i64>(GATES) * HIDDEN * inputs, place.slice);
    const i32 unit = (place.slice * Own::WARPS + warp_index()) * UNITS + lane_index() / 4;
    const Scales<T> scales = scales_of(weights, HIDDEN, 1, unit);
    const i32 record = place.tile * TILE + column_of(0);
    Array<f32, 2> cells = {};
    ROLLED for (i32 step = 0; step < place.steps; ++step) {
        const bool takes = place.stage > 0 && step % Own::TOGETHER == 0;
        if (takes && thread_index() == 0) {
            const i32 last = step + Own::TOGETHER < place.steps ? step + Own::TOGETHER - 1 : place.steps - 1;
            wait_for(counters, counter_of(place, place.stage - 1, last), SLICES);
        }
        if (SLICES > 1 && step > 0 && thread_index() == 0) {
            wait_for(counters, counter_of(place, place.stage, step - 1), SLICES);
        }
        if (SLICES > 1 || takes) {
            block_barrier();
        }
        if (SLICES > 1 || step == 0) {
            stage.template fill<PARTS>(states, place, step - 1, step == 0, {});
            block_barrier();
        }
        Array<Pack<f32, GATES>, 2> from_input = {};
        UNROLL for (i32 i = 0; i < 2; ++i) {
            const i64 row = static_cast<i64>(record + i) * place.steps + step;
            if (inside(record + i, place.records)) {
                const i64 at = (row * HIDDEN + unit) * GATES;
                from_input[i] = place.stage == 0 ? load_pack<GATES>(projected, at) : load_fresh(gates, at);
            }
        }
        const Array<Sums<T>, 2 * PARTS> sums = stage.template sums_of<PARTS>(step % Own::SIDES * Own::SIDE);
        UNROLL for (i32 i = 0; i < 2; ++i) {
            Array<f32, GATES> values;
            UNROLL for (i32 gate = 0; gate < GATES; ++gate) {
                values[gate] = gate_of<T, PARTS, 1>(sums, gate, i, scales, from_input[i][gate]);
            }
            const f32 value = moved_on(values, cells[i]);
            if constexpr (SLICES == 1) {
                const i32 after = (step + 1) % Own::SIDES * Own::SIDE;
                put_state<T, PARTS, Own::PART>(stage.operand, after + column_of(i) * Own::STRIDE + unit, value);
            }
            if (inside(record + i, place.records)) {
                const i64 row = static_cast<i64>(record + i) * place.steps + step;
                states[row * HIDDEN + unit] = narrow<Signal<T>>(value);
                if (place.stage == place.stages - 1 && step == place.steps - 1) {
                    latent[static_cast<i64>(record + i) * HIDDEN + unit] = value;
                }
            }
        }
        block_barrier();
        if (thread_index() == 0 && (step % Own::TOGETHER == Own::TOGETHER - 1 || step == place.steps - 1)) {
            publish(counters, counter_of(place, place.stage, step));
        }
    }
}

// states [layers, records, steps, HIDDEN], gates [layers - 1, records, steps, HIDDEN, 4].
template <class T, i32 HIDDEN, i32 SLICES, i32 HELD>
DEVICE void run(
    const In<f32>& projected, const Layers<T>& layers, const Out<Signal<T>>& states, const Out<f32>& gates,
    const Out<f32>& latent, const Out<u32>& counters, i32 records, i32 steps, i32 inputs, const Rounding& second,
    const Rounding& third
) {
    using Own = Stage<T, HIDDEN, SLICES, HELD>;
    SHARED_DYNAMIC(T, shared);
    Own stage;
    stage.operand = shared;
    stage.stored = shared + Own::SIDES * Own::SIDE;
    const i32 index = block_index() / SLICES;
    const Place place = {index, grid_size() / SLICES, block_index() % SLICES, block_row(), records, steps};
    const i32 layer = (index + 1) / 2;
    const i64 values = static_cast<i64>(records) * steps * HIDDEN;
    const Weights<T> weights = layer == 0 ? layers.first : layer == 1 ? layers.second : layers.third;
    if (index % 2 == 0) {
        const i64 below = layer == 0 ? 0 : (layer - 1) * values * GATES;
        recur<T, HIDDEN, SLICES, HELD>(
            stage, weights, projected, states + layer * values, gates + below, latent, counters, place, layer == 0 ? inputs : HIDDEN
        );
    } else {
        const i64 below = (layer - 1) * values;
        project<T, HIDDEN, SLICES, HELD>(
            stage, weights, states + below, gates + below * GATES, counters, place, layer == 1 ? second : third
        );
    }
}

}  // namespace chain

#define CHAIN(T, HIDDEN, SLICES, HELD)                                                                                    \
    KERNEL(                                                                                                               \
        chain_##T##_##HIDDEN, (chain::Stage<T, HIDDEN, SLICES, HELD>::THREADS),                                           \
        (In<f32> projected, In<T> fragments0, In<f32> terms0, In<T> fragments1, In<f32> terms1, In<T> fragments2,         \
         In<f32> terms2, Out<Signal<T>> states, Out<f32> gates, Out<f32> latent, Out<u32> counters, i32 records,          \
         i32 steps, i32 inputs)                                                                                           \
    ) {                                                                                                                   \
        const chain::Layers<T> layers = {                                                                                 \
            {fragments0, terms0, {}}, {fragments1, terms1, {}}, {fragments2, terms2, {}}                                  \
        };                                                                                                                \
        chain::run<T, HIDDEN, SLICES, HELD>(                                                                              \
            projected, layers, states, gates, latent, counters, records, steps, inputs, {}, {}                            \
        );                                                                                                                \
    }
#define CHAIN_I8(HIDDEN, SLICES, HELD)                                                                                    \
    KERNEL(                                                                                                               \
        chain_i8_##HIDDEN, (chain::Stage<i8, HIDDEN, SLICES, HELD>::THREADS),                                             \
        (In<f32> projected, In<i8> fragments0, In<f32> terms0, In<i32> sums0, In<i8> fragments1, In<f32> terms1,          \
         In<i32> sums1, In<i8> fragments2, In<f32> terms2, In<i32> sums2, Out<f32> states, Out<f32> gates,                \
         Out<f32> latent, Out<u32> counters, i32 records, i32 steps, i32 inputs, f32 inverse1, i32 zero_point1,           \
         f32 inverse2, i32 zero_point2)                                                                                   \
    ) {                                                                                                                   \
        const chain::Layers<i8> layers = {                                                                                \
            {fragments0, terms0, sums0}, {fragments1, terms1, sums1}, {fragments2, terms2, sums2}                         \
        };                                                                                                                \
        chain::run<i8, HIDDEN, SLICES, HELD>(                                                                             \
            projected, layers, states, gates, latent, counters, records, steps, inputs, {inverse1, zero_point1},          \
            {inverse2, zero_point2}                                                                                       \
        );                                                                                                                \
    }

CHAIN(f32, 64, 2, 0)
CHAIN(f16, 64, 2, 2)
CHAIN(bf16, 64, 1, 4)
CHAIN_I8(64, 1, 2)
CHAIN(f32, 128, 4, 0)
CHAIN(f16, 128, 1, 8)
CHAIN(bf16, 128, 1, 8)
CHAIN_I8(128, 1, 4)
CHAIN(f32, 256, 16, 0)
CHAIN(f16, 256, 8, 16)
CHAIN(bf16, 256, 8, 16)
CHAIN_I8(256, 4, 8)
CHAIN(f16, 512, 16, 16)
CHAIN(bf16, 512, 16, 16)
CHAIN_I8(512, 16, 16)
