// Axial attention along one axis, for all lines and groups, from the projected map to its output (`mod.rs` has the formulas and says what
// lies where).
//
// Row r of the grid is record r. Lines of 2, 4 and 8 positions go many to a block, a thread to a position. Of longer ones a block takes one
// line and one group, and each of its warps 16 positions i: it computes the maps qe and ke a chunk of rows at a time into shared
// memory, adds up α·qk there, keeps its rows of the softmax in registers, and multiplies them with values and embeddings.
//
// A relative embedding is a product too: q times all of R at once, of which row i wants the columns from some offset on that moves by
// one with i. Tiles of that product are written to shared memory moved to where they belong; the weights S are moved the other way
// for their product with the embeddings of values.
#include "product.cuh"

namespace axial {

// Rows of a tile, and its columns.
constexpr i32 TILE = 16;
constexpr i32 COLUMNS = 8;
// Tiles that a warp embeds at once: as many as registers hold beside the scores.
template <class T>
constexpr i32 ABREAST = sizeof(T) == 4 ? 2 : 4;
// Channels of values in shared memory at once, likewise.
template <class T>
constexpr i32 BLOCK = sizeof(T) == 4 ? 8 : 32;
constexpr i32 SHORT_THREADS = 128;
constexpr f32 LOWEST = -3.402823466e38f;

// What precedes the factors of groups and channels.
constexpr i32 MAP_FACTORS = 21;
constexpr i32 VALUE_FACTOR = 23;
constexpr i32 OUTPUT_ZERO_POINT = 24;
constexpr i32 HEAD = 25;
// Roundings among them.
constexpr i32 QUERY = 0;
constexpr i32 QUERY_MAP = 2;
constexpr i32 VALUE = 4;
constexpr i32 WEIGHT = 5;
constexpr i32 OUTPUT = 6;

// Elements of the projected map and of operands, and whether operands are rounded to 8 bits.
template <class I, class O, bool R>
struct Format {
    using Input = I;
    using Operand = O;
    static constexpr bool ROUNDED = R;
};

// Distance of rows of `count` elements, a multiple of 16: an odd multiple of 32 bytes.
template <class T>
constexpr i32 stride_of(i32 count) {
    constexpr i32 UNIT = 32 / static_cast<i32>(sizeof(T));
    return count / UNIT % 2 == 0 ? count + UNIT : count;
}

// To 8 bits, minus the zero point.
struct Rounding {
    f32 inverse;
    f32 low;
    f32 high;
};

DEVICE Rounding rounding(In<f32> factors, i32 index) {
    return {factors[3 * index], factors[3 * index + 1], factors[3 * index + 2]};
}

template <class F>
DEVICE f32 rounded(const Rounding& by, f32 x) {
    if constexpr (F::ROUNDED) {
        return static_cast<f32>(nearest(least(largest(x * by.inverse, by.low), by.high)));
    } else {
        return x;
    }
}

struct Shape {
    i32 lines;
    i32 groups;
    // Of a group.
    i32 channels;
    i32 span;
    // Pixels between positions of a line, and between lines.
    i32 along;
    i32 across;
};

// One line and group of the block's record.
struct Place {
    i32 line;
    i32 group;
};

// Channels of queries, keys or values of one line and group; zeros elsewhere.
template <class F>
struct Part {
    In<typename F::Input> map;
    i32 stride;
    i32 span;
    i32 channels;
    Rounding by;

    METHOD f32 operator()(i32 position, i32 channel) const {
        if (inside(position, span) && inside(channel, channels)) {
            return rounded<F>(by, widen(map[position * stride + channel]));
        }
        return 0.0f;
    }
};

// Part 0, 1 or 2 of a line and group.
template <class F>
DEVICE Part<F> part_of(In<typename F::Input> projected, In<f32> factors, const Shape& shape, const Place& at, i32 part) {
    const i32 half = shape.channels / 2;
    const i32 width = 2 * shape.groups * shape.channels;
    const i64 record = static_cast<i64>(block_row()) * shape.lines * shape.span * width;
    const i64 first = record + at.line * shape.across * width + at.group * 2 * shape.channels + part * half;
    const i32 channels = part == 2 ? shape.channels : half;
    return {projected + first, shape.along * width, shape.span, channels, rounding(factors, part == 2 ? VALUE : QUERY + part)};
}

// A line's parts, made where they are wanted.
template <class F>
struct Source {
    In<typename F::Input> projected;
    In<f32> factors;
    Shape shape;
    Place at;
    METHOD Part<F> operator()(i32 part) const { return part_of<F>(projected, factors, shape, at, part); }
};

// Where a block's results go.
template <class F>
struct Output {
    Out<typename F::Input> values;
    Out<i8> bytes;
    bool as_bytes;
    Rounding by;
    f32 zero_point;

    METHOD void put(i64 index, f32 value) const {
        if constexpr (F::ROUNDED) {
            if (as_bytes) {
                bytes[index] = static_cast<i8>(nearest(rounded<F>(by, value) + zero_point));
                return;
            }
        }
        values[index] = narrow<typename F::Input>(value);
    }
};

DEVICE i64 output_index(const Shape& shape, const Place& at, i32 position, i32 channel) {
    const i64 pixels = static_cast<i64>(block_row()) * shape.lines * shape.span;
    const i64 pixel = pixels + at.line * shape.across + position * shape.along;
    return (pixel * shape.groups + at.group) * shape.channels + channel;
}

// What a lane holds of 16 positions from `row` on and of a step of channels from `channel` on.
template <class F>
DEVICE typename Tile<typename F::Operand>::Left gathered(const Part<F>& part, i32 row, i32 channel) {
    using O = typename F::Operand;
    const i32 low = row + lane_index() / 4;
    if constexpr (Tile<O>::DEPTH == 4) {
        typename Tile<O>::Left left;
        UNROLL for (i32 k = 0; k < 4; ++k) {
            left.low[k] = part(low, channel + k);
            left.high[k] = part(low + 8, channel + k);
        }
        return left;
    } else {
        const i32 first = channel + lane_index() % 4 * 4;
        Pack<O, 4> above, below;
        UNROLL for (i32 k = 0; k < 4; ++k) {
            above[k] = narrow<O>(part(low, first + k));
            below[k] = narrow<O>(part(low + 8, first + k));
        }
        const Array<u32, 2> high = words(above), deep = words(below);
        return {high[0], deep[0], high[1], deep[1]};
    }
}

// What a lane holds of 8 rows in device memory.
template <class T>
DEVICE typename Tile<T>::Right stored(In<T> b, i32 stride) {
    if constexpr (Tile<T>::DEPTH == 4) {
        const i32 first = lane_index() % 4 * 2 * stride;
        return {load_pack<4>(b, first), load_pack<4>(b, first + stride)};
    } else {
        return words(load_pack<4>(b, lane_index() / 4 * stride + lane_index() % 4 * 4));
    }
}

template <i32 TILES>
using Sums = Array<Array<f32, 4>, TILES>;
template <class F>
using Embedded = Sums<ABREAST<typename F::Operand>>;

// A part's 16 positions from `row` on times as many embeddings as are taken at once, `depth` elements each.
template <class F>
DEVICE Embedded<F> embed(const Part<F>& part, i32 row, In<typename F::Operand> embeddings, i32 depth) {
    using O = typename F::Operand;
    Embedded<F> sums = {};
    ROLLED for (i32 k = 0; k < depth; k += Tile<O>::DEPTH) {  // harmless once more: those channels are zeros
        const typename Tile<O>::Left positions = gathered<F>(part, row, k);
        UNROLL for (i32 tile = 0; tile < ABREAST<O>; ++tile) {
            multiply<O>(sums[tile], positions, stored<O>(embeddings + (tile * COLUMNS * depth + k), depth));
        }
    }
    return sums;
}

// Row and column of a tile's element that a lane holds.
DEVICE i32 row_of(i32 element) { return lane_index() / 4 + element / 2 * 8; }
DEVICE i32 column_of(i32 element) { return lane_index() % 4 * 2 + element % 2; }

// Of a block for lines of up to TILES · 16 positions.
template <class F, i32 TILES>
struct Plan {
    using O = typename F::Operand;
    static constexpr i32 THREADS = TILES * WARP;
    static constexpr i32 SPAN = TILES * TILE;
    // Rows of the maps in shared memory at once, and columns of the softmax.
    static constexpr i32 CHUNK = TILES == 9 ? 48 : TILES == 5 ? 80 : 16;
    // Embeddings that 16 rows want for such columns, and all of them: 15 of a row's are another's.
    static constexpr i32 WINDOW = CHUNK + TILE;
    static constexpr i32 REACH = SPAN + TILE;
    static constexpr i32 MAP_STRIDE = stride_of<O>(CHUNK);
    static constexpr i32 MOVED_STRIDE = stride_of<O>(WINDOW);
    static constexpr i32 VALUE_STRIDE = stride_of<O>(SPAN);
    static constexpr i32 OF_WARP = TILE * (MAP_STRIDE + MOVED_STRIDE);
    static constexpr i32 MAPS = 2 * SPAN * MAP_STRIDE;
    static constexpr i32 VALUES = MAPS > TILES * OF_WARP ? MAPS : TILES * OF_WARP;
    // Rows of f32 in which tiles are moved.
    static constexpr i32 BIAS_STRIDE = WINDOW + 4;
    static constexpr i32 STRETCH = ABREAST<O> * COLUMNS;
    static_assert(WINDOW % STRETCH == 0 && REACH % STRETCH == 0, "whole stretches");
};

// f32 memory of the block's warps: what the maps leave where they are f32 too.
template <class F, i32 TILES>
DEVICE Shared<f32> bias_memory(const Shared<typename F::Operand>& memory) {
    using P = Plan<F, TILES>;
    if constexpr (sizeof(typename F::Operand) == 4) {
        static_assert(P::BIAS_STRIDE <= P::MAP_STRIDE + P::MOVED_STRIDE, "it fits");
        return memory + warp_index() * P::OF_WARP;
    } else {
        SHARED(f32, separate, TILES * TILE * P::BIAS_STRIDE);
        return separate + warp_index() * TILE * P::BIAS_STRIDE;
    }
}

// Rows `first` … of both maps, [map][column][row], a warp a tile of rows by a stretch of columns at a time.
template <class F, i32 TILES>
DEVICE void make_maps(
    const Source<F>& source, In<typename F::Operand> embeddings, In<f32> factors, i32 depth, i32 first,
    const Shared<typename F::Operand>& maps
) {
    using P = Plan<F, TILES>;
    constexpr i32 STRETCHES = P::REACH / P::STRETCH;
    for (i32 unit = warp_index(); unit < 2 * STRETCHES * (P::CHUNK / TILE); unit += TILES) {
        const i32 stretch = unit % STRETCHES * P::STRETCH;
        const i32 map = unit / STRETCHES % 2;
        const i32 row = unit / (2 * STRETCHES) * TILE;
        const i32 offset = P::SPAN - TILE - first - row + stretch;
        const i64 from = static_cast<i64>(2 * P::SPAN * map + offset) * depth;
        const Embedded<F> sums = embed<F>(source(map), first + row, embeddings + from, depth);
        const Rounding by = rounding(factors, QUERY_MAP + map);
        const f32 factor = factors[MAP_FACTORS + map];
        UNROLL for (i32 tile = 0; tile < ABREAST<typename F::Operand>; ++tile) {
            UNROLL for (i32 e = 0; e < 4; ++e) {
                const i32 column = stretch + tile * COLUMNS + column_of(e) + row_of(e) - (TILE - 1);
                if (inside(column, P::SPAN) && column >= 0) {
                    const typename F::Operand value = narrow<typename F::Operand>(rounded<F>(by, sums[tile][e] * factor));
                    maps[(map * P::SPAN + column) * P::MAP_STRIDE + row + row_of(e)] = value;
                }
            }
        }
    }
}

// A warp's rows of β·qe + γ·ke for a chunk of columns from `column` on, moved by 15 − (row within the tile).
template <class F, i32 TILES>
DEVICE void make_bias(
    const Source<F>& source, In<typename F::Operand> embeddings, In<f32> similarity, i32 depth, i32 column,
    const Shared<f32>& bias
) {
    using P = Plan<F, TILES>;
    const i32 row = warp_index() * TILE;
    ROLLED for (i32 unit = 0; unit < 2 * P::WINDOW / P::STRETCH; ++unit) {
        const i32 map = unit % 2;
        const i32 stretch = unit / 2 * P::STRETCH;
        const i32 offset = P::SPAN - TILE - row + column + stretch;
        const i64 from = static_cast<i64>(2 * P::SPAN * map + offset) * depth;
        const Embedded<F> sums = embed<F>(source(map), row, embeddings + from, depth);
        const f32 factor = similarity[1 + map];
        UNROLL for (i32 tile = 0; tile < ABREAST<typename F::Operand>; ++tile) {
            UNROLL for (i32 e = 0; e < 4; ++e) {
                const i32 at = row_of(e) * P::BIAS_STRIDE + stretch + tile * COLUMNS + column_of(e);
                const f32 before = map == 0 ? 0.0f : bias[at];
                bias[at] = fused(factor, sums[tile][e], before);
            }
        }
    }
}

// The softmax of a warp's rows, in place.
template <class F, i32 TILES>
DEVICE void soften(Array<Array<f32, 4>, 2 * TILES>& scores, const Rounding& by) {
    UNROLL for (i32 side = 0; side < 4; side += 2) {
        f32 most = LOWEST;
        UNROLL for (i32 tile = 0; tile < 2 * TILES; ++tile) {
            most = largest(most, largest(scores[tile][side], scores[tile][side + 1]));
        }
        most = largest(most, shuffle_xor(most, 1));
        most = largest(most, shuffle_xor(most, 2));
        f32 total = 0.0f;
        UNROLL for (i32 tile = 0; tile < 2 * TILES; ++tile) {
            UNROLL for (i32 e = side; e < side + 2; ++e) {
                scores[tile][e] = exponential(scores[tile][e] - most);
                total += scores[tile][e];
            }
        }
        total += shuffle_xor(total, 1);
        total += shuffle_xor(total, 2);
        const f32 inverse = 1.0f / total;
        UNROLL for (i32 tile = 0; tile < 2 * TILES; ++tile) {
            UNROLL for (i32 e = side; e < side + 2; ++e) {
                scores[tile][e] = rounded<F>(by, scores[tile][e] * inverse);
            }
        }
    }
}

// A block of channels of values from `first` on, [channel][position].
template <class F, i32 TILES>
DEVICE void load_values(const Part<F>& part, i32 first, const Shared<typename F::Operand>& values) {
    using P = Plan<F, TILES>;
    for (i32 i = thread_index(); i < BLOCK<typename F::Operand> * P::SPAN; i += P::THREADS) {
        const i32 channel = i % BLOCK<typename F::Operand>, position = i / BLOCK<typename F::Operand>;
        values[channel * P::VALUE_STRIDE + position] = narrow<typename F::Operand>(part(position, first + channel));
    }
}

// One line and group of up to TILES · 16 positions.
template <class F, i32 TILES>
DEVICE void attend(
    In<typename F::Input> projected, In<typename F::Operand> embeddings, In<f32> factors, const Output<F>& output,
    const Shape& shape
) {
    using P = Plan<F, TILES>;
    using O = typename F::Operand;
    SHARED_DYNAMIC(O, memory);
    const Place place = {block_index() / shape.groups, block_index() % shape.groups};
    const Source<F> source = {projected, factors, shape, place};
    const i32 depth = (shape.channels / 2 + TILE - 1) / TILE * TILE;
    const i32 row = warp_index() * TILE;

    Array<Array<f32, 4>, 2 * TILES> scores = {};
    ROLLED for (i32 first = 0; first < P::SPAN; first += P::CHUNK) {
        make_maps<F, TILES>(source, embeddings, factors, depth, first, memory);
        block_barrier();
        ROLLED for (i32 k = 0; k < P::CHUNK; k += Tile<O>::DEPTH) {
            const Shared<O> queries = memory + ((row + lane_index() / 4) * P::MAP_STRIDE + k);
            const typename Tile<O>::Left rows = left<O>(queries, queries + 8 * P::MAP_STRIDE);
            UNROLL for (i32 tile = 0; tile < 2 * TILES; ++tile) {
                const Shared<O> keys = memory + ((P::SPAN + tile * COLUMNS) * P::MAP_STRIDE + k);
                multiply<O>(scores[tile], rows, right<O>(keys, P::MAP_STRIDE));
            }
        }
        block_barrier();
    }

    const In<f32> similarity = factors + (HEAD + 3 * place.group);
    const Shared<f32> bias = bias_memory<F, TILES>(memory);
    UNROLL for (i32 column = 0; column < P::SPAN; column += P::CHUNK) {
        make_bias<F, TILES>(source, embeddings, similarity, depth, column, bias);
        warp_barrier();
        UNROLL for (i32 tile = 0; tile < P::CHUNK / COLUMNS; ++tile) {
            UNROLL for (i32 e = 0; e < 4; ++e) {
                const i32 at = tile * COLUMNS + column_of(e);
                const i32 moved = row_of(e) * P::BIAS_STRIDE + at + TILE - 1 - row_of(e);
                const f32 score = fused(similarity[0], scores[column / COLUMNS + tile][e], bias[moved]);
                scores[column / COLUMNS + tile][e] = inside(column + at, shape.span) ? score : LOWEST;
            }
        }
        warp_barrier();
    }
    soften<F, TILES>(scores, rounding(factors, WEIGHT));

    // A warp's weights for a chunk of columns, as they are and moved as the bias was, zeros on both sides of it.
    const Shared<O> weights = memory + warp_index() * P::OF_WARP;
    const Shared<O> moved = weights + TILE * P::MAP_STRIDE;
    const Shared<O> values = memory + P::VALUES;
    for (i32 i = lane_index(); i < TILE * TILE; i += WARP) {
        const i32 at = i % TILE < TILE - 1 - i / TILE ? i % TILE : i % TILE + P::CHUNK;
        moved[i / TILE * P::MOVED_STRIDE + at] = narrow<O>(0.0f);
    }
    const i64 tables = 4 * static_cast<i64>(P::SPAN) * depth;
    const In<f32> position = factors + (HEAD + 3 * shape.groups + place.group * shape.channels);
    ROLLED for (i32 channel = 0; channel < shape.channels; channel += BLOCK<O>) {  // harmless once more: every access is masked
        load_values<F, TILES>(source(2), channel, values);
        block_barrier();
        Sums<BLOCK<O> / COLUMNS> by_value = {}, by_position = {};
        UNROLL for (i32 column = 0; column < P::SPAN; column += P::CHUNK) {
            UNROLL for (i32 tile = 0; tile < P::CHUNK / COLUMNS; ++tile) {
                UNROLL for (i32 e = 0; e < 4; ++e) {
                    const i32 at = tile * COLUMNS + column_of(e);
                    const O weight = narrow<O>(scores[column / COLUMNS + tile][e]);
                    weights[row_of(e) * P::MAP_STRIDE + at] = weight;
                    moved[row_of(e) * P::MOVED_STRIDE + at + TILE - 1 - row_of(e)] = weight;
                }
            }
            warp_barrier();
            ROLLED for (i32 k = 0; k < P::CHUNK; k += Tile<O>::DEPTH) {
                const Shared<O> from = weights + (lane_index() / 4 * P::MAP_STRIDE + k);
                const typename Tile<O>::Left rows = left<O>(from, from + 8 * P::MAP_STRIDE);
                UNROLL for (i32 tile = 0; tile < BLOCK<O> / COLUMNS; ++tile) {
                    const Shared<O> of = values + (tile * COLUMNS * P::VALUE_STRIDE + column + k);
                    multiply<O>(by_value[tile], rows, right<O>(of, P::VALUE_STRIDE));
                }
            }
            const i32 offset = P::SPAN - TILE - row + column;
            ROLLED for (i32 k = 0; k < P::WINDOW; k += Tile<O>::DEPTH) {
                const Shared<O> from = moved + (lane_index() / 4 * P::MOVED_STRIDE + k);
                const typename Tile<O>::Left rows = left<O>(from, from + 8 * P::MOVED_STRIDE);
                UNROLL for (i32 tile = 0; tile < BLOCK<O> / COLUMNS; ++tile) {
                    const i32 of = channel + tile * COLUMNS;
                    if (inside(of, shape.channels)) {
                        const i64 at = tables + static_cast<i64>(of) * 2 * P::SPAN + offset + k;
                        multiply<O>(by_position[tile], rows, stored<O>(embeddings + at, 2 * P::SPAN));
                    }
                }
            }
            warp_barrier();
        }
        UNROLL for (i32 tile = 0; tile < BLOCK<O> / COLUMNS; ++tile) {
            UNROLL for (i32 e = 0; e < 4; ++e) {
                const i32 c = channel + tile * COLUMNS + column_of(e);
                if (inside(c, shape.channels) && inside(row + row_of(e), shape.span)) {
                    const f32 value = factors[VALUE_FACTOR] * by_value[tile][e];
                    const f32 sum = fused(position[c], by_position[tile][e], value);
                    output.put(output_index(shape, place, row + row_of(e), c), sum);
                }
            }
        }
        block_barrier();
    }
}

// Lines of SPAN positions: pairs of a line and a group by the block, one thread to a position, then to a channel.
template <class F, i32 SPAN>
DEVICE void attend_shortly(
    In<typename F::Input> projected, In<f32> embeddings, In<f32> factors, const Output<F>& output, const Shape& shape
) {
    constexpr i32 PAIRS = SHORT_THREADS / SPAN;
    constexpr i32 PLACES = 2 * SPAN - 1;
    SHARED_DYNAMIC(f32, table);
    SHARED(f32, query_maps, PAIRS * SPAN * SPAN);
    SHARED(f32, key_maps, PAIRS * SPAN * SPAN);
    SHARED(f32, weights, PAIRS * SPAN * SPAN);
    for (i32 i = thread_index(); i < 2 * shape.channels * PLACES; i += SHORT_THREADS) {
        table[i] = embeddings[i];
    }
    block_barrier();

    const i32 half = shape.channels / 2;
    const i32 pairs = shape.lines * shape.groups;
    const i32 own = thread_index() / SPAN, i = thread_index() % SPAN;
    const i32 pair = block_index() * PAIRS + own;
    const Place place = {pair / shape.groups, pair % shape.groups};
    Array<f32, SPAN> query_map = {}, key_map = {};
    if (inside(pair, pairs)) {
        const Part<F> queries = part_of<F>(projected, factors, shape, place, 0);
        const Part<F> keys = part_of<F>(projected, factors, shape, place, 1);
        ROLLED for (i32 c = 0; c < half; ++c) {  // harmless once more: those channels are zeros
            const f32 query = queries(i, c), key = keys(i, c);
            UNROLL for (i32 j = 0; j < SPAN; ++j) {
                const i32 offset = SPAN - 1 - i + j;
                query_map[j] = fused(query, table[c * PLACES + offset], query_map[j]);
                key_map[j] = fused(key, table[(half + c) * PLACES + offset], key_map[j]);
            }
        }
    }
    const Rounding by_query = rounding(factors, QUERY_MAP), by_key = rounding(factors, QUERY_MAP + 1);
    UNROLL for (i32 j = 0; j < SPAN; ++j) {
        const i32 at = (own * SPAN + i) * SPAN + j;
        query_maps[at] = rounded<F>(by_query, query_map[j] * factors[MAP_FACTORS]);
        key_maps[at] = rounded<F>(by_key, key_map[j] * factors[MAP_FACTORS + 1]);
    }
    warp_barrier();

    Array<f32, SPAN> scores = {};
    UNROLL for (i32 r = 0; r < SPAN; ++r) {
        const f32 query = query_maps[(own * SPAN + r) * SPAN + i];
        UNROLL for (i32 j = 0; j < SPAN; ++j) {
            scores[j] = fused(query, key_maps[(own * SPAN + r) * SPAN + j], scores[j]);
        }
    }
    const In<f32> similarity = factors + (HEAD + 3 * place.group);
    f32 most = LOWEST;
    UNROLL for (i32 j = 0; j < SPAN; ++j) {
        const f32 score = fused(similarity[1], query_map[j], similarity[0] * scores[j]);
        scores[j] = fused(similarity[2], key_map[j], score);
        most = largest(most, scores[j]);
    }
    f32 total = 0.0f;
    UNROLL for (i32 j = 0; j < SPAN; ++j) {
        scores[j] = exponential(scores[j] - most);
        total += scores[j];
    }
    const f32 inverse = 1.0f / total;
    const Rounding by_weight = rounding(factors, WEIGHT);
    UNROLL for (i32 j = 0; j < SPAN; ++j) {
        weights[(own * SPAN + i) * SPAN + j] = rounded<F>(by_weight, scores[j] * inverse);
    }
    block_barrier();

    for (i32 item = thread_index(); item < PAIRS * shape.channels; item += SHORT_THREADS) {
        const i32 of = item / shape.channels, c = item % shape.channels;
        const i32 index = block_index() * PAIRS + of;
        if (!inside(index, pairs)) {
            continue;
        }
        const Place its = {index / shape.groups, index % shape.groups};
        const Part<F> part = part_of<F>(projected, factors, shape, its, 2);
        const f32 position = factors[HEAD + 3 * shape.groups + its.group * shape.channels + c];
        Array<f32, SPAN> values;
        UNROLL for (i32 j = 0; j < SPAN; ++j) {
            values[j] = part(j, c);
        }
        UNROLL for (i32 at = 0; at < SPAN; ++at) {
            f32 by_value = 0.0f, by_position = 0.0f;
            UNROLL for (i32 j = 0; j < SPAN; ++j) {
                const f32 weight = weights[(of * SPAN + at) * SPAN + j];
                by_value = fused(weight, values[j], by_value);
                by_position = fused(weight, table[(shape.channels + c) * PLACES + SPAN - 1 - at + j], by_position);
            }
            const f32 sum = fused(position, by_position, factors[VALUE_FACTOR] * by_value);
            output.put(output_index(shape, its, at, c), sum);
        }
    }
}

template <class F>
DEVICE Output<F> output_of(Out<typename F::Input> values, Out<i8> bytes, i32 as_bytes, In<f32> factors) {
    return {values, bytes, as_bytes != 0, rounding(factors, OUTPUT), factors[OUTPUT_ZERO_POINT]};
}

}  // namespace axial

// `values` and `bytes` are the same memory, of which the kernel writes what `as_bytes` says.
#define AXIAL(NAME, I, O, R, TILES)                                                                                       \
    KERNEL(                                                                                                               \
        axial_##NAME##_##TILES, TILES * WARP,                                                                             \
        (In<I> projected, In<O> embeddings, In<f32> factors, Out<I> values, Out<i8> bytes, i32 lines, i32 groups,         \
         i32 channels, i32 span, i32 along, i32 across, i32 as_bytes)                                                     \
    ) {                                                                                                                   \
        using F = axial::Format<I, O, R>;                                                                                 \
        const axial::Shape shape = {lines, groups, channels, span, along, across};                                        \
        axial::attend<F, TILES>(projected, embeddings, factors, axial::output_of<F>(values, bytes, as_bytes, factors), shape); \
    }
#define AXIAL_SHORT(NAME, I, R, SPAN)                                                                                     \
    KERNEL(                                                                                                               \
        axial_short_##NAME##_##SPAN, axial::SHORT_THREADS,                                                                \
        (In<I> projected, In<f32> embeddings, In<f32> factors, Out<I> values, Out<i8> bytes, i32 lines, i32 groups,       \
         i32 channels, i32 span, i32 along, i32 across, i32 as_bytes)                                                     \
    ) {                                                                                                                   \
        using F = axial::Format<I, f32, R>;                                                                               \
        const axial::Shape shape = {lines, groups, channels, SPAN, along, across};                                        \
        axial::attend_shortly<F, SPAN>(projected, embeddings, factors, axial::output_of<F>(values, bytes, as_bytes, factors), shape); \
    }
#define AXIAL_TILED(TILES)              \
    AXIAL(f32, f32, f32, false, TILES)  \
    AXIAL(f16, f16, f16, false, TILES)  \
    AXIAL(bf16, bf16, bf16, false, TILES) \
    AXIAL(i8, f32, f16, true, TILES)
#define AXIAL_OF_SPAN(SPAN)             \
    AXIAL_SHORT(f32, f32, false, SPAN)  \
    AXIAL_SHORT(f16, f16, false, SPAN)  \
    AXIAL_SHORT(bf16, bf16, false, SPAN) \
    AXIAL_SHORT(i8, f32, true, SPAN)

AXIAL_TILED(3)
AXIAL_TILED(5)
AXIAL_TILED(9)
AXIAL_OF_SPAN(2)
AXIAL_OF_SPAN(4)
AXIAL_OF_SPAN(8)
