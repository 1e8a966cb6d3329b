// Layers of a Transformer encoder over the steps of a record (Vaswani et al. 2017, normalized after each part), two launches each;
// `transformer/mod.rs` says why two, and how weights are packed. The stream between layers is f32, products are of T.
//
// Weights are the left operands of the maps, so a lane has in its sums, with g = lane / 4 and t = lane % 4, channels g and g + 8 of a
// tile of 16 and steps 2t and 2t + 1 of a tile of eight. In 8 bits sums count q - zero_point for inputs, as the packed sums make sure.
#include "packed.cuh"

namespace transformer {

constexpr f32 EPSILON = 1e-5f;
// Channels of one block of the attention.
constexpr i32 SLICE = 32;
// Rows of a product's left operand, columns of its right one.
constexpr i32 ROWS = 16;
constexpr i32 COLUMNS = 8;
constexpr i32 ATTEND_THREADS = 384;
constexpr i32 ATTEND_WARPS = ATTEND_THREADS / WARP;
// Queries, keys and values of a slice, in tiles of 16 channels.
constexpr i32 TILES = 3 * SLICE / ROWS;
// Warps that share a tile of channels, each with a part of the steps.
constexpr i32 SHARES = ATTEND_WARPS / TILES;
// Steps of one block of the rest, and channels that are widened and narrowed at a time.
constexpr i32 TILE = 16;
constexpr i32 FEED_THREADS = 256;
constexpr i32 FEED_WARPS = FEED_THREADS / WARP;
constexpr i32 PART = 128;

template <class T>
using Sums = typename Tile<T>::Accumulator;

// `length` up to whole steps of products.
template <class T>
DEVICE constexpr i32 deep(i32 length) {
    return (length + Tile<T>::DEPTH - 1) / Tile<T>::DEPTH * Tile<T>::DEPTH;
}

// Largest and sum among the four lanes of a row of sums.
DEVICE f32 largest_of_row(f32 value) {
    value = largest(value, shuffle_xor(value, 1));
    return largest(value, shuffle_xor(value, 2));
}
template <class Number>
DEVICE Number sum_of_row(Number value) {
    value += shuffle_xor(value, 1);
    return value + shuffle_xor(value, 2);
}

// Where the biases, norms and factors of a layer begin among its terms.
template <i32 WIDTH>
struct Terms {
    i32 inner;
    METHOD i32 output_bias() const { return 3 * WIDTH; }
    METHOD i32 widen_bias() const { return 4 * WIDTH; }
    METHOD i32 narrow_bias() const { return 4 * WIDTH + inner; }
    METHOD i32 attention_norm() const { return 5 * WIDTH + inner; }
    METHOD i32 norm() const { return 7 * WIDTH + inner; }
    // Of each bias' map, its factors lie as far behind it.
    METHOD i32 factors() const { return 9 * WIDTH + inner; }
};

// The value of a sum for an output whose bias is term `output`; excesses lie as biases do.
template <class T, class Sum>
DEVICE f32 mapped(const Weights<T>& weights, i32 factors, i32 output, Sum sum) {
    if constexpr (sizeof(T) == 1) {
        return value_of(sum, weights.sums[output], weights.terms[factors + output], weights.terms[output]);
    } else {
        return sum + weights.terms[output];
    }
}

// How the operands of the attention are rounded in 8 bits, and what their products' sums are multiplied by.
struct AttentionRounding {
    Rounding input;
    Rounding query;
    Rounding key;
    Rounding weight;
    Rounding value;
    Rounding output;
    f32 scores_factor;
    f32 mixed_factor;
};

// What the first layer reads instead of the stream.
template <class T>
struct First {
    In<Signal<T>> ecg;
    In<f32> positions;
    i32 is_first;
};

// The layer's input from element `at` of a record on, rounded; the first layer's is a sum, which `keeps` writes to the stream.
template <class T>
DEVICE Pack<T, PACK<T>> load_input(
    const First<T>& first, const Out<f32>& stream, i64 record, i32 at, bool keeps, const Rounding& rounding
) {
    if (first.is_first == 0) {
        return load_rounded<T, f32>(stream, record + at, rounding);
    }
    Pack<T, PACK<T>> result;
    UNROLL for (i32 part = 0; part < PACK<T> / PACK<f32>; ++part) {
        const i32 from = at + part * PACK<f32>;
        const Pack<f32, PACK<f32>> positions = load_pack<PACK<f32>>(first.positions, from);
        Pack<f32, PACK<f32>> values;
        UNROLL for (i32 k = 0; k < PACK<f32>; ++k) {
            values[k] = widen(first.ecg[record + from + k]) + positions[k];
            result[part * PACK<f32> + k] = rounded<T>(values[k], rounding);
        }
        if (keeps) {
            store_pack<PACK<f32>>(stream, record + from, values);
        }
    }
    return result;
}

// What this lane takes of 16 queries at a step of their channels, zeros where those are of another head: heads are of whole eights.
template <class T>
DEVICE typename Tile<T>::Left left_of_head(const Shared<T>& queries, i32 stride, i32 step, i32 head, i32 per_head) {
    i32 channel = step;
    if constexpr (Tile<T>::DEPTH > 4) {
        channel += lane_index() % 4 * Tile<T>::EACH;
    }
    if (channel / per_head != head) {
        return {};
    }
    const i32 at = lane_index() / 4 * stride + step;
    return left<T>(queries + at, queries + (at + 8 * stride));
}

// mixed [records, STEPS, WIDTH]: for 32 channels of a record, the queries, keys and values, and what its heads make of them.
template <class T, i32 STEPS, i32 WIDTH>
DEVICE void attend(
    const First<T>& first, const Out<f32>& stream, const Weights<T>& weights, const Out<T>& mixed, i32 per_head, i32 inner,
    const AttentionRounding& rounding
) {
    constexpr i32 DEPTH = Tile<T>::DEPTH;
    constexpr bool BYTES = sizeof(T) == 1;
    // The input comes in one phase, in f32 in two.
    constexpr i32 PHASES = sizeof(T) == 4 ? 2 : 1;
    constexpr i32 PHASE = WIDTH / PHASES;
    constexpr i32 X_STRIDE = stride_of<T>(PHASE);
    constexpr i32 KEY_STRIDE = stride_of<T>(deep<T>(SLICE));
    constexpr i32 VALUE_STRIDE = stride_of<T>(deep<T>(STEPS));
    constexpr i32 WEIGHTS = ROWS * VALUE_STRIDE;
    // Warps that attend.
    constexpr i32 ATTENDING = STEPS / COLUMNS;
    static_assert(ATTENDING <= ATTEND_WARPS, "as many as there are, at most");
    constexpr i32 X = STEPS * X_STRIDE > ATTENDING * WEIGHTS ? STEPS * X_STRIDE : ATTENDING * WEIGHTS;
    SHARED_DYNAMIC(T, memory);
    // Input [STEPS, PHASE], where each attending warp has its softmax [16, STEPS] later; queries and keys [STEPS, SLICE]; values [SLICE, STEPS].
    const Shared<T> x = memory + 0;
    const Shared<T> queries = memory + X;
    const Shared<T> keys = memory + (X + STEPS * KEY_STRIDE);
    const Shared<T> values = memory + (X + 2 * STEPS * KEY_STRIDE);
    constexpr i32 SLICES = WIDTH / SLICE;
    const i32 slice = block_index() % SLICES * SLICE;
    const i64 record = static_cast<i64>(block_index() / SLICES) * STEPS * WIDTH;

    constexpr i32 NEAR = STEPS / COLUMNS / SHARES;
    static_assert(NEAR * COLUMNS * SHARES == STEPS, "every warp has as many steps");
    const i32 tile = warp_index() / SHARES;
    const i32 part = tile * ROWS / SLICE;
    const i32 channel = part * WIDTH + slice + tile * ROWS % SLICE;
    const i32 near = warp_index() % SHARES * NEAR;
    Array<Sums<T>, NEAR> sums = {};
    ROLLED for (i32 phase = 0; phase < PHASES; ++phase) {
        constexpr i32 PACKS = PHASE / PACK<T>;
        for (i32 i = thread_index(); i < STEPS * PACKS; i += ATTEND_THREADS) {
            const i32 column = i % PACKS * PACK<T>;
            const i32 at = i / PACKS * WIDTH + phase * PHASE + column;
            const Pack<T, PACK<T>> pack = load_input<T>(first, stream, record, at, slice == 0, rounding.input);
            store_pack<PACK<T>>(x, i / PACKS * X_STRIDE + column, pack);
        }
        block_barrier();
        constexpr i32 AT_ONCE = sizeof(T) == 4 ? DEPTH : 2 * DEPTH;
        ROLLED for (i32 begin = 0; begin < PHASE; begin += AT_ONCE) {
            UNROLL for (i32 k = begin; k < begin + AT_ONCE; k += DEPTH) {
                const i32 step = channel / ROWS * (WIDTH / DEPTH) + (phase * PHASE + k) / DEPTH;
                const typename Tile<T>::Left rows = packed_left<T>(weights.fragments, 0, step);
                UNROLL for (i32 n = 0; n < NEAR; ++n) {
                    multiply<T>(sums[n], rows, right<T>(x + ((near + n) * COLUMNS * X_STRIDE + k), X_STRIDE));
                }
            }
        }
        block_barrier();
    }

    const i32 g = lane_index() / 4;
    const i32 t = lane_index() % 4;
    const f32 root = 1.0f / square_root(static_cast<f32>(per_head));
    const i32 factors = Terms<WIDTH>{inner}.factors();
    UNROLL for (i32 n = 0; n < NEAR; ++n) {
        UNROLL for (i32 i = 0; i < 4; ++i) {
            const i32 step = (near + n) * COLUMNS + 2 * t + i % 2;
            const i32 row = i / 2 * 8 + g;
            const f32 value = mapped(weights, factors, channel + row, sums[n][i]);
            const i32 c = tile * ROWS % SLICE + row;
            if (part == 0) {
                queries[step * KEY_STRIDE + c] = rounded<T>(BYTES ? value * root : value, rounding.query);
            } else if (part == 1) {
                keys[step * KEY_STRIDE + c] = rounded<T>(value, rounding.key);
            } else {
                values[c * VALUE_STRIDE + step] = rounded<T>(value, rounding.value);
            }
        }
    }
    // Steps beyond the last: zeros, for weights of zero.
    constexpr i32 BEYOND = deep<T>(STEPS) - STEPS;
    if constexpr (BEYOND > 0) {
        for (i32 i = thread_index(); i < SLICE * BEYOND; i += ATTEND_THREADS) {
            values[i / BEYOND * VALUE_STRIDE + STEPS + i % BEYOND] = T{};
        }
    }
    block_barrier();

    // In 8 bits, sums over the channels of keys, by head, and over the steps of values. What a query's sum and both zero points would add
    // to scores is the same for all keys, and a softmax does not see it.
    constexpr i32 HEADS = BYTES ? SLICE / 8 : 1;
    SHARED(i32, key_sums, HEADS * STEPS);
    SHARED(i32, value_sums, SLICE);
    const i32 heads = SLICE / per_head;
    if constexpr (BYTES) {
        for (i32 i = thread_index(); i < heads * STEPS; i += ATTEND_THREADS) {
            const i32 at = i % STEPS * KEY_STRIDE + i / STEPS * per_head;
            i32 of_key = 0;
            for (i32 c = 0; c < per_head; ++c) {
                of_key += keys[at + c];
            }
            key_sums[i] = of_key;
        }
        if (thread_index() < SLICE) {
            i32 of_value = 0;
            for (i32 step = 0; step < STEPS; ++step) {  // harmless once more: zeros lie behind
                of_value += values[thread_index() * VALUE_STRIDE + step];
            }
            value_sums[thread_index()] = of_value;
        }
        block_barrier();
    }

    const Shared<T> softmax = x + warp_index() * WEIGHTS;
    constexpr i32 TASKS = STEPS / ROWS;
    const i32 tasks = warp_index() < ATTENDING ? heads * TASKS : 0;
    ROLLED for (i32 task = warp_index(); task < tasks; task += ATTENDING) {
        const i32 head = task / TASKS;
        const i32 query = task % TASKS * ROWS;
        // Scores of 16 queries; channels of other heads are left out of the queries.
        Array<Sums<T>, STEPS / COLUMNS> scores = {};
        ROLLED for (i32 k = 0; k < deep<T>(SLICE); k += DEPTH) {
            const typename Tile<T>::Left rows = left_of_head<T>(queries + query * KEY_STRIDE, KEY_STRIDE, k, head, per_head);
            UNROLL for (i32 n = 0; n < STEPS / COLUMNS; ++n) {
                multiply<T>(scores[n], rows, right<T>(keys + (n * COLUMNS * KEY_STRIDE + k), KEY_STRIDE));
            }
        }
        // Softmax of rows g and g + 8, of which this lane has places i and i + 1.
        UNROLL for (i32 half = 0; half < 2; ++half) {
            const i32 row = half * 8 + g;
            Array<f32, STEPS / 4> powers;
            f32 most = -3.0e38f;
            UNROLL for (i32 i = 0; i < STEPS / 4; ++i) {
                const auto sum = scores[i / 2][half * 2 + i % 2];
                if constexpr (BYTES) {
                    const i32 key = head * STEPS + i / 2 * COLUMNS + 2 * t + i % 2;
                    powers[i] = static_cast<f32>(sum - rounding.query.zero_point * key_sums[key]) * rounding.scores_factor;
                } else {
                    powers[i] = sum * root;
                }
                most = largest(most, powers[i]);
            }
            most = largest_of_row(most);
            f32 total = 0.0f;
            UNROLL for (i32 i = 0; i < STEPS / 4; ++i) {
                powers[i] = exponential(powers[i] - most);
                total += powers[i];
            }
            const f32 inverse = 1.0f / sum_of_row(total);
            UNROLL for (i32 i = 0; i < STEPS / 4; ++i) {
                const i32 key = i / 2 * COLUMNS + 2 * t + i % 2;
                softmax[row * VALUE_STRIDE + key] = rounded<T>(powers[i] * inverse, rounding.weight);
            }
        }
        if constexpr (BEYOND > 0) {
            for (i32 i = lane_index(); i < ROWS * BEYOND; i += WARP) {
                softmax[i / BEYOND * VALUE_STRIDE + STEPS + i % BEYOND] = T{};
            }
        }
        warp_barrier();
        Array<i32, 2> of_weights = {};
        if constexpr (BYTES) {
            UNROLL for (i32 half = 0; half < 2; ++half) {
                for (i32 step = t; step < STEPS; step += 4) {  // harmless once more: zeros lie behind
                    of_weights[half] += softmax[(half * 8 + g) * VALUE_STRIDE + step];
                }
                of_weights[half] = sum_of_row(of_weights[half]);
            }
        }
        for (i32 c = head * per_head; c < (head + 1) * per_head; c += COLUMNS) {
            Sums<T> result = {};
            product<T>(result, softmax, VALUE_STRIDE, values + c * VALUE_STRIDE, VALUE_STRIDE, deep<T>(STEPS));
            UNROLL for (i32 i = 0; i < 4; ++i) {
                const i32 to = c + 2 * t + i % 2;
                f32 value;
                if constexpr (BYTES) {
                    const i32 zero_points = rounding.weight.zero_point * rounding.value.zero_point * STEPS;
                    const i32 of_weight = rounding.value.zero_point * of_weights[i / 2];
                    const i32 of_value = rounding.weight.zero_point * value_sums[to];
                    value = static_cast<f32>(result[i] - of_weight - of_value + zero_points) * rounding.mixed_factor;
                } else {
                    value = result[i];
                }
                const i32 step = query + i / 2 * 8 + g;
                mixed[record + step * WIDTH + slice + to] = rounded<T>(value, rounding.output);
            }
        }
        warp_barrier();
    }
}

// Vectors [TILE, WIDTH] of f32 in shared memory, normalized; lane l of a warp has channels l, l + 32 … of the warp's vectors.
template <i32 WIDTH>
struct Normal {
    static constexpr i32 EACH = WIDTH / WARP;
    Array<f32, EACH> values;

    METHOD void normalize(const In<f32>& terms, i32 scale) {
        f32 sum = 0.0f;
        UNROLL for (i32 i = 0; i < EACH; ++i) {
            sum += values[i];
        }
        const f32 mean = warp_sum(sum) * (1.0f / WIDTH);
        f32 squares = 0.0f;
        UNROLL for (i32 i = 0; i < EACH; ++i) {
            values[i] -= mean;
            squares = fused(values[i], values[i], squares);
        }
        const f32 factor = 1.0f / square_root(warp_sum(squares) * (1.0f / WIDTH) + EPSILON);
        UNROLL for (i32 i = 0; i < EACH; ++i) {
            const i32 at = scale + i * WARP + lane_index();
            values[i] = fused(values[i] * factor, terms[at], terms[at + WIDTH]);
        }
    }
};

DEVICE f32 gelu(f32 x) { return x * 0.5f * (1.0f + error_function(x * 0.70710678f)); }

// The rest of a layer for 16 steps: stream = norm(u + narrow(gelu(widen(u)))), u = norm(stream + output(mixed)).
template <class T, i32 WIDTH>
DEVICE void feed(
    const In<T>& mixed, const Out<f32>& stream, const Weights<T>& weights, i32 inner, const Rounding& widen_rounding,
    const Rounding& narrow_rounding
) {
    constexpr i32 DEPTH = Tile<T>::DEPTH;
    constexpr i32 STRIDE = stride_of<T>(WIDTH);
    constexpr i32 PART_STRIDE = stride_of<T>(PART);
    constexpr i32 SUM_STRIDE = WIDTH + 4;
    constexpr i32 SIDES = TILE / COLUMNS;
    // Tiles of channels of a warp: of a map to WIDTH channels, of one to PART.
    constexpr i32 TILES_OF_WARP = (WIDTH / ROWS + FEED_WARPS - 1) / FEED_WARPS;
    static_assert(PART / ROWS == FEED_WARPS, "a tile of a part for each warp");
    SHARED(T, operand, TILE * STRIDE);
    SHARED(T, wide, TILE * PART_STRIDE);
    SHARED(f32, sums, TILE * SUM_STRIDE);
    const Terms<WIDTH> terms = {inner};
    const i64 first = static_cast<i64>(block_index()) * TILE * WIDTH;
    const i32 g = lane_index() / 4;
    const i32 t = lane_index() % 4;

    constexpr i32 PACKS = WIDTH / PACK<T>;
    for (i32 i = thread_index(); i < TILE * PACKS; i += FEED_THREADS) {
        const i32 column = i % PACKS * PACK<T>;
        store_pack<PACK<T>>(operand, i / PACKS * STRIDE + column, load_pack<PACK<T>>(mixed, first + i * PACK<T>));
    }
    block_barrier();

    // Where a warp's tiles of a map to WIDTH channels begin; there may be fewer than warps.
    const i32 channel = warp_index() * TILES_OF_WARP * ROWS;
    const bool has_tiles = channel < WIDTH;
    Array<Sums<T>, TILES_OF_WARP * SIDES> narrowed = {};
    const auto multiply_all = [&](const Shared<T>& right_operand, i32 stride, i64 matrix, i32 width, i32 begin, i32 length) {
        ROLLED for (i32 k = 0; k < length; k += 2 * DEPTH) {
            UNROLL for (i32 at = k; at < k + 2 * DEPTH; at += DEPTH) {
                Array<typename Tile<T>::Right, SIDES> columns;
                UNROLL for (i32 side = 0; side < SIDES; ++side) {
                    columns[side] = right<T>(right_operand + (side * COLUMNS * stride + at), stride);
                }
                UNROLL for (i32 i = 0; i < TILES_OF_WARP; ++i) {
                    const i32 step = (channel / ROWS + i) * (width / DEPTH) + (begin + at) / DEPTH;
                    const typename Tile<T>::Left rows = packed_left<T>(weights.fragments, matrix, step);
                    UNROLL for (i32 side = 0; side < SIDES; ++side) {
                        multiply<T>(narrowed[i * SIDES + side], rows, columns[side]);
                    }
                }
            }
        }
    };
    // Calls `put` with each of the warp's channels, steps and sums of a map to WIDTH channels.
    const auto for_each = [&](const auto& put) {
        UNROLL for (i32 i = 0; i < TILES_OF_WARP * SIDES * 4; ++i) {
            const i32 row = i / (SIDES * 4) * ROWS + i % 4 / 2 * 8 + g;
            const i32 step = i / 4 % SIDES * COLUMNS + 2 * t + i % 2;
            put(channel + row, step, narrowed[i / 4][i % 4]);
        }
    };
    if (has_tiles) {
        multiply_all(operand, STRIDE, static_cast<i64>(3) * WIDTH * WIDTH, WIDTH, 0, WIDTH);
        for_each([&](i32 c, i32 step, auto sum) {
            sums[step * SUM_STRIDE + c] = mapped(weights, terms.factors(), terms.output_bias() + c, sum);
        });
    }
    block_barrier();
    Normal<WIDTH> normal;
    for (i32 step = warp_index(); step < TILE; step += FEED_WARPS) {
        UNROLL for (i32 i = 0; i < Normal<WIDTH>::EACH; ++i) {
            const i32 c = i * WARP + lane_index();
            normal.values[i] = sums[step * SUM_STRIDE + c] + stream[first + step * WIDTH + c];
        }
        normal.normalize(weights.terms, terms.attention_norm());
        UNROLL for (i32 i = 0; i < Normal<WIDTH>::EACH; ++i) {
            const i32 c = i * WARP + lane_index();
            sums[step * SUM_STRIDE + c] = normal.values[i];
            operand[step * STRIDE + c] = rounded<T>(normal.values[i], widen_rounding);
        }
    }
    block_barrier();

    const i64 widen_matrix = static_cast<i64>(4) * WIDTH * WIDTH;
    const i64 narrow_matrix = widen_matrix + static_cast<i64>(inner) * WIDTH;
    narrowed = {};
    ROLLED for (i32 begin = 0; begin < inner; begin += PART) {
        Array<Sums<T>, SIDES> widened = {};
        const i32 row = begin + warp_index() * ROWS;
        ROLLED for (i32 k = 0; k < WIDTH; k += 2 * DEPTH) {
            UNROLL for (i32 at = k; at < k + 2 * DEPTH; at += DEPTH) {
                const i32 step = row / ROWS * (WIDTH / DEPTH) + at / DEPTH;
                const typename Tile<T>::Left rows = packed_left<T>(weights.fragments, widen_matrix, step);
                UNROLL for (i32 side = 0; side < SIDES; ++side) {
                    multiply<T>(widened[side], rows, right<T>(operand + (side * COLUMNS * STRIDE + at), STRIDE));
                }
            }
        }
        UNROLL for (i32 i = 0; i < SIDES * 4; ++i) {
            const i32 c = i % 4 / 2 * 8 + g;
            const i32 step = i / 4 * COLUMNS + 2 * t + i % 2;
            const f32 value = mapped(weights, terms.factors(), terms.widen_bias() + row + c, widened[i / 4][i % 4]);
            wide[step * PART_STRIDE + warp_index() * ROWS + c] = rounded<T>(gelu(value), narrow_rounding);
        }
        block_barrier();
        if (has_tiles) {
            multiply_all(wide, PART_STRIDE, narrow_matrix, inner, begin, PART);
        }
        block_barrier();
    }
    if (has_tiles) {
        for_each([&](i32 c, i32 step, auto sum) {
            sums[step * SUM_STRIDE + c] += mapped(weights, terms.factors(), terms.narrow_bias() + c, sum);
        });
    }
    block_barrier();
    for (i32 step = warp_index(); step < TILE; step += FEED_WARPS) {
        UNROLL for (i32 i = 0; i < Normal<WIDTH>::EACH; ++i) {
            normal.values[i] = sums[step * SUM_STRIDE + i * WARP + lane_index()];
        }
        normal.normalize(weights.terms, terms.norm());
        UNROLL for (i32 i = 0; i < Normal<WIDTH>::EACH; ++i) {
            stream[first + step * WIDTH + i * WARP + lane_index()] = normal.values[i];
        }
    }
}

// latent [records, WIDTH]: the mean of a record's normalized vectors. Warps add every eighth, then threads the warps' sums.
template <i32 STEPS, i32 WIDTH>
DEVICE void mean(const In<f32>& stream, const In<f32>& norm, const Out<f32>& latent) {
    SHARED(f32, sums, FEED_WARPS * WIDTH);
    const i64 record = block_index();
    Array<f32, Normal<WIDTH>::EACH> total = {};
    for (i32 step = warp_index(); step < STEPS; step += FEED_WARPS) {
        Normal<WIDTH> normal;
        UNROLL for (i32 i = 0; i < Normal<WIDTH>::EACH; ++i) {
            normal.values[i] = stream[(record * STEPS + step) * WIDTH + i * WARP + lane_index()];
        }
        normal.normalize(norm, 0);
        UNROLL for (i32 i = 0; i < Normal<WIDTH>::EACH; ++i) {
            total[i] += normal.values[i];
        }
    }
    UNROLL for (i32 i = 0; i < Normal<WIDTH>::EACH; ++i) {
        sums[warp_index() * WIDTH + i * WARP + lane_index()] = total[i];
    }
    block_barrier();
    if (inside(thread_index(), WIDTH)) {
        f32 sum = 0.0f;
        for (i32 warp = 0; warp < FEED_WARPS; ++warp) {
            sum += sums[warp * WIDTH + thread_index()];
        }
        latent[record * WIDTH + thread_index()] = sum * (1.0f / STEPS);
    }
}

}  // namespace transformer

#define TRANSFORMER(T, STEPS, WIDTH)                                                                                      \
    KERNEL(                                                                                                               \
        transformer_attend_##T##_##STEPS##_##WIDTH, transformer::ATTEND_THREADS,                                          \
        (In<T> ecg, In<f32> positions, Out<f32> stream, i32 is_first, In<T> fragments, In<f32> terms, Out<T> mixed,       \
         i32 per_head, i32 inner)                                                                                         \
    ) {                                                                                                                   \
        transformer::attend<T, STEPS, WIDTH>(                                                                             \
            {ecg, positions, is_first}, stream, {fragments, terms, {}}, mixed, per_head, inner, {}                        \
        );                                                                                                                \
    }                                                                                                                     \
    KERNEL(                                                                                                               \
        transformer_feed_##T##_##STEPS##_##WIDTH, transformer::FEED_THREADS,                                              \
        (In<T> mixed, Out<f32> stream, In<T> fragments, In<f32> terms, i32 inner)                                         \
    ) {                                                                                                                   \
        transformer::feed<T, WIDTH>(mixed, stream, {fragments, terms, {}}, inner, {}, {});                                \
    }

#define TRANSFORMER_I8(STEPS, WIDTH)                                                                                      \
    KERNEL(                                                                                                               \
        transformer_attend_i8_##STEPS##_##WIDTH, transformer::ATTEND_THREADS,                                             \
        (In<f32> ecg, In<f32> positions, Out<f32> stream, i32 is_first, In<i8> fragments, In<f32> terms, In<i32> sums,    \
         Out<i8> mixed, i32 per_head, i32 inner, f32 input_inverse, i32 input_zero, f32 query_inverse, i32 query_zero,    \
         f32 key_inverse, i32 key_zero, f32 weight_inverse, i32 weight_zero, f32 value_inverse, i32 value_zero,           \
         f32 output_inverse, i32 output_zero, f32 scores_factor, f32 mixed_factor)                                        \
    ) {                                                                                                                   \
        transformer::attend<i8, STEPS, WIDTH>(                                                                            \
            {ecg, positions, is_first}, stream, {fragments, terms, sums}, mixed, per_head, inner,                         \
            {{input_inverse, input_zero},                                                                                 \
             {query_inverse, query_zero},                                                                                 \
             {key_inverse, key_zero},                                                                                     \
             {weight_inverse, weight_zero},                                                                               \
             {value_inverse, value_zero},                                                                                 \
             {output_inverse, output_zero},                                                                               \
             scores_factor,                                                                                               \
             mixed_factor}                                                                                                \
        );                                                                                                                \
    }                                                                                                                     \
    KERNEL(                                                                                                               \
        transformer_feed_i8_##STEPS##_##WIDTH, transformer::FEED_THREADS,                                                 \
        (In<i8> mixed, Out<f32> stream, In<i8> fragments, In<f32> terms, In<i32> sums, i32 inner, f32 widen_inverse,      \
         i32 widen_zero, f32 narrow_inverse, i32 narrow_zero)                                                             \
    ) {                                                                                                                   \
        transformer::feed<i8, WIDTH>(                                                                                     \
            mixed, stream, {fragments, terms, sums}, inner, {widen_inverse, widen_zero}, {narrow_inverse, narrow_zero}    \
        );                                                                                                                \
    }

#define TRANSFORMER_MEAN(STEPS, WIDTH)                                                                                    \
    KERNEL(                                                                                                               \
        transformer_mean_##STEPS##_##WIDTH, transformer::FEED_THREADS, (In<f32> stream, In<f32> norm, Out<f32> latent)    \
    ) {                                                                                                                   \
        transformer::mean<STEPS, WIDTH>(stream, norm, latent);                                                            \
    }

TRANSFORMER(f32, 16, 64)
TRANSFORMER(f16, 16, 64)
TRANSFORMER(bf16, 16, 64)
TRANSFORMER_I8(16, 64)
TRANSFORMER_MEAN(16, 64)
TRANSFORMER(f32, 80, 256)
TRANSFORMER(f16, 80, 256)
TRANSFORMER(bf16, 80, 256)
TRANSFORMER_I8(80, 256)
TRANSFORMER_MEAN(80, 256)
