// Convolutions of feature maps with what follows them, and pooling; `mod.rs` states shapes and layouts.
//
// A convolution is an implicit product of matrices: 64 pixels of a warp by 16 outputs, over taps and channels. A block has a
// patch of the map, with the pixels around its tile, in shared memory, some channels at a time, and reads it from there once per tap.
// Weights come straight from device memory in the order lanes take them, some steps ahead: every warp of a block that works on
// other outputs reads other weights, and warps on the same ones find them in the first cache. Where a map is too small to occupy
// the device, the warps of a block share the channels of one tile (SPLIT) and add up their sums in shared memory.
//
// A tile's pixels go in windows of 2×2, so that pooling needs two lanes of a warp and nothing else: of the 16 rows of a product, row
// r < 8 is in window r / 2, column r % 2, upper row; r + 8 is below it. Records lie one below another with rows of zeros in
// between, so that one tile spans several small maps.
#include "product.cuh"
#include "rational.cuh"

namespace residual {

constexpr i32 THREADS = 128;
constexpr i32 WARPS = THREADS / WARP;
// Products of 16 pixels and of 8 outputs that a warp holds.
constexpr i32 ROWS = 4;
constexpr i32 COLUMNS = 2;
constexpr i32 GROUP = 8 * COLUMNS;
// Pixels of the largest patch; `LARGEST_PATCH` in `mod.rs`.
constexpr i32 PATCH = 672;
// Rows of the map that a thread of `single` makes.
constexpr i32 SINGLE_ROWS = 4;

// What differs among the types of operands: the type of maps that are not rounded, and the steps that weights are read ahead.
template <class T>
struct Operand {
    using Plain = T;
    using Sum = f32;
    static constexpr bool INTEGER = false;
    static constexpr i32 AHEAD = 4;
};
template <>
struct Operand<f32> {
    using Plain = f32;
    using Sum = f32;
    static constexpr bool INTEGER = false;
    static constexpr i32 AHEAD = 1;
};
template <>
struct Operand<i8> {
    using Plain = f32;
    using Sum = i32;
    static constexpr bool INTEGER = true;
    static constexpr i32 AHEAD = 4;
};

// q − zero_point of 8 bits for x · factor.
DEVICE f32 rounded(f32 x, f32 factor, i32 zero) {
    const f32 low = static_cast<f32>(-128 - zero);
    const f32 high = static_cast<f32>(127 - zero);
    return static_cast<f32>(nearest(largest(least(x * factor, high), low)));
}

// A value for a map of type R.
template <class R>
DEVICE R stored(f32 x, f32 factor, i32 zero) {
    if constexpr (sizeof(R) == 1) {
        return static_cast<R>(nearest(rounded(x, factor, zero)) + zero);
    } else {
        return narrow<R>(x);
    }
}

// An element of a map of type T.
template <class T>
DEVICE f32 loaded(T element, f32 scale, i32 zero) {
    if constexpr (sizeof(T) == 1) {
        return scale * static_cast<f32>(element - zero);
    } else {
        return widen(element);
    }
}

// Row m of registers that a rolled loop goes through: unrolled, what follows a convolution is larger than the caches of instructions.
template <class V>
DEVICE V pick(const Array<V, ROWS>& rows, i32 m) {
    V row = rows[0];
    UNROLL for (i32 k = 1; k < ROWS; ++k) {  // harmless once more: there is no such row
        if (m == k) {
            row = rows[k];
        }
    }
    return row;
}

template <class V>
DEVICE void put(Array<V, ROWS>& rows, i32 m, const V& row) {
    UNROLL for (i32 k = 0; k < ROWS; ++k) {  // harmless once more: there is no such row
        if (m == k) {
            rows[k] = row;
        }
    }
}

// The arguments of a convolution; `mod.rs` says what they are.
template <class T, class R>
struct Convolution {
    In<T> input;
    In<T> weights;
    In<i32> sums;
    In<f32> conditions;
    In<T> shortcut;
    In<typename Operand<T>::Plain> plain;
    In<T> projection;
    In<i32> projection_sums;
    In<f32> projection_factors;
    Out<R> output;
    i32 records, height, width, inputs, outputs;
    i32 side, pooled, condition_stride, shortcut_kind, shortcut_inputs;
    i32 columns, warps_over_pixels, warps_over_outputs, depth, shortcut_depth;
    i32 input_zero, shortcut_zero, output_zero;
    f32 shortcut_scale, output_factor;
};

enum Kind { NONE, IDENTITY, PLAIN, PROJECTION, SINGLE };

// Where a row of all records' rows, one below another, lies; rows between records are no rows.
struct Row {
    i32 record;
    i32 y;
    bool real;
};

DEVICE Row row_at(i32 row, i32 pitch, i32 records, i32 height) {
    Row at;
    at.record = row / pitch;
    at.y = row - at.record * pitch;
    at.real = row >= 0 && inside(at.record, records) && inside(at.y, height);
    return at;
}

// Elements from a pixel of a patch to the next: an odd multiple of 32 bytes, as in `mod.rs`.
template <class T>
DEVICE i32 pixel_stride(i32 depth) {
    constexpr i32 EACH = 32 / static_cast<i32>(sizeof(T));
    const i32 units = (depth + EACH - 1) / EACH;
    return (units + (units + 1) % 2) * EACH;
}

// Weights of a step for 16 outputs, as a lane holds them.
template <class T>
DEVICE Array<typename Tile<T>::Right, COLUMNS> fetch(In<T> weights, i64 tile) {
    Array<typename Tile<T>::Right, COLUMNS> columns;
    if constexpr (sizeof(T) == 4) {
        const i64 first = tile * GROUP * Tile<T>::DEPTH + lane_index() % 4 * 4 * Tile<T>::DEPTH;
        UNROLL for (i32 j = 0; j < COLUMNS; ++j) {
            columns[j].even = load_pack<4>(weights, first + 8 * j);
            columns[j].odd = load_pack<4>(weights, first + 8 * j + 4);
        }
    } else {
        const i64 first = tile * GROUP * Tile<T>::DEPTH + lane_index() * PACK<T>;
        const Array<u32, 4> bits = words(load_pack<PACK<T>>(weights, first));
        UNROLL for (i32 j = 0; j < COLUMNS; ++j) {
            columns[j][0] = bits[2 * j];
            columns[j][1] = bits[2 * j + 1];
        }
    }
    return columns;
}

// The steps of a warp over the taps and channels of a patch.
struct Walk {
    i32 first, every, steps, side;
    i32 step, tap, tap_row, tap_column;

    METHOD void begin() {
        step = first;
        tap = 0;
        tap_row = 0;
        tap_column = 0;
    }
    METHOD void advance() {
        step += every;
        if (step >= steps) {
            step = first;
            ++tap;
            ++tap_column;
            if (tap_column == side) {
                tap_column = 0;
                ++tap_row;
            }
        }
    }
};

// The two pixels, one below the other, of a lane's row of products.
struct Place {
    Row upper;
    i32 x;
    bool inside_width;
    // Whether the map has the upper (0) or lower (1) one.
    METHOD bool real(i32 below) const { return below == 0 ? upper.real && inside_width : has_lower && inside_width; }
    bool has_lower;
};

// Adds what the convolution's pixel gets, at `values[first]` and on.
template <class T, class R>
DEVICE void add_shortcut(const Convolution<T, R>& c, i64 pixel, i32 channel, Array<f32, 8>& values, i32 first) {
    if (c.shortcut_kind == IDENTITY) {
        const Pack<T, 4> added = load_pack<4>(c.shortcut, pixel * c.outputs + channel);
        UNROLL for (i32 k = 0; k < 4; ++k) {
            values[first + k] += loaded(added[k], c.shortcut_scale, c.shortcut_zero);
        }
    } else if (c.shortcut_kind == PLAIN) {
        const Pack<typename Operand<T>::Plain, 4> added = load_pack<4>(c.plain, pixel * c.outputs + channel);
        UNROLL for (i32 k = 0; k < 4; ++k) {
            values[first + k] += widen(added[k]);
        }
    } else if (c.shortcut_kind == SINGLE) {
        f32 x = widen(c.plain[pixel]);
        if constexpr (Operand<T>::INTEGER) {
            x = rounded(x, c.shortcut_scale, c.shortcut_zero);
        }
        const Pack<f32, 4> factors = load_pack<4>(c.projection_factors, channel);
        UNROLL for (i32 k = 0; k < 4; ++k) {
            values[first + k] = fused(factors[k], x, values[first + k]);
        }
    }
}

template <class T, class R, bool SPLIT>
DEVICE void convolve(const Convolution<T, R>& c, const Activation& activation) {
    using Accumulator = typename Tile<T>::Accumulator;
    constexpr i32 AHEAD = Operand<T>::AHEAD;
    SHARED_DYNAMIC(T, patch);
    SHARED(i32, pixels, PATCH);

    // Extents of tiles and of what warps share are 1, 2, 4 or 8: shifts stand for divisions. Windows beside one another in a tile, and
    // their logarithm.
    const i32 windows = c.columns / 2;
    const i32 shift = c.columns / 4;
    const i32 covered = c.pooled != 0 ? c.width / 2 * 2 : c.width;
    const i32 across = (covered + c.columns - 1) >> (shift + 1);
    const i32 tile_rows = (ROWS * 16 * c.warps_over_pixels) >> (shift + 1);
    const i32 top = block_index() / across * tile_rows;
    const i32 start = block_index() % across * c.columns;
    const i32 pitch = c.side == 3 ? c.height + 2 - c.height % 2 : c.height + c.height % 2;

    // Warps over pixels, outputs and shares of the channels.
    const i32 pixel_shift = c.warps_over_pixels / 2;
    const i32 output_shift = c.warps_over_outputs / 2;
    const i32 over_pixels = warp_index() & (c.warps_over_pixels - 1);
    const i32 over_outputs = (warp_index() >> pixel_shift) & (c.warps_over_outputs - 1);
    const i32 share = warp_index() >> (pixel_shift + output_shift);
    const i32 shares = WARPS >> (pixel_shift + output_shift);
    const i32 group = block_row() * c.warps_over_outputs + over_outputs;
    const i32 channel = group * GROUP + lane_index() % 4 * 4;
    // Rows of products that are this warp's once sums are added up.
    const i32 owned = SPLIT ? ROWS >> (shares / 2) : ROWS;

    const i32 first_row = SPLIT ? over_pixels * ROWS + share * owned : over_pixels * ROWS;

    const auto place_of = [&](i32 m) {
        const i32 window = (first_row + m) * 4 + lane_index() / 8;
        Place place;
        place.upper = row_at(top + (window >> shift) * 2, pitch, c.records, c.height);
        place.x = start + (window & (windows - 1)) * 2 + lane_index() / 4 % 2;
        place.inside_width = inside(place.x, c.width);
        place.has_lower = place.upper.real && inside(place.upper.y + 1, c.height);
        return place;
    };

    Array<Array<Accumulator, COLUMNS>, ROWS> sums;
    Array<Array<f32, 8>, ROWS> values = {};
    const i32 phases = c.shortcut_kind == PROJECTION ? 2 : 1;
    ROLLED for (i32 phase = 0; phase < phases; ++phase) {
        const bool main = phase == 0;
        const i32 side = main ? c.side : 1;
        const i32 inputs = main ? c.inputs : c.shortcut_inputs;
        const i32 depth = main ? c.depth : c.shortcut_depth;
        const i32 zero = main ? c.input_zero : c.shortcut_zero;
        const In<T> map = main ? c.input : c.shortcut;
        const In<T> weights = main ? c.weights : c.projection;
        const i32 wide = c.columns + side - 1;
        const i32 patch_pitch = c.columns == 2 ? wide / 2 * 2 + 1 : wide;
        const i32 patch_pixels = (tile_rows + side - 1) * patch_pitch;
        const i32 stride = pixel_stride<T>(depth);

        // Which pixel of the map each of the patch's is; none outside.
        for (i32 i = thread_index(); i < patch_pixels; i += THREADS) {  // harmless once more: nobody reads that pixel
            const i32 x = start + i % patch_pitch - side / 2;
            const Row row = row_at(top + i / patch_pitch - side / 2, pitch, c.records, c.height);
            pixels[i] = row.real && x >= 0 && inside(x, c.width) ? (row.record * c.height + row.y) * c.width + x : -1;
        }

        // A lane's rows of each product: upper ones, the lower are a row of the patch further on.
        Array<i32, ROWS> upper;
        UNROLL for (i32 m = 0; m < ROWS; ++m) {
            const i32 window = (over_pixels * ROWS + m) * 4 + lane_index() / 8;
            const i32 column = (window & (windows - 1)) * 2 + lane_index() / 4 % 2;
            upper[m] = ((window >> shift) * 2 * patch_pitch + column) * stride;
            UNROLL for (i32 j = 0; j < COLUMNS; ++j) {
                UNROLL for (i32 i = 0; i < 4; ++i) {
                    sums[m][j][i] = 0;
                }
            }
        }
        const i32 lower = patch_pitch * stride;

        const i32 all_steps = (inputs + Tile<T>::DEPTH - 1) / Tile<T>::DEPTH;
        const i32 groups = c.outputs / GROUP;
        Walk walk;
        walk.first = share;
        walk.every = shares;
        walk.steps = depth / Tile<T>::DEPTH;
        walk.side = side;
        const i32 count = side * side * ((walk.steps - share + shares - 1) >> (shares / 2));
        const i32 packs = depth / PACK<T>;
        ROLLED for (i32 base = 0; base < inputs; base += depth) {
            // Weights of the first steps are on their way while the patch is read.
            const i32 first_step = base / Tile<T>::DEPTH;
            Array<Array<typename Tile<T>::Right, COLUMNS>, AHEAD> ahead;
            Walk reader = walk;
            reader.begin();
            UNROLL for (i32 u = 0; u < AHEAD; ++u) {
                if (inside(u, count)) {
                    ahead[u] = fetch<T>(weights, static_cast<i64>(reader.tap * all_steps + first_step + reader.step) * groups + group);
                    reader.advance();
                }
            }
            block_barrier();
            const i32 pack = thread_index() % packs * PACK<T>;
            for (i32 i = thread_index() / packs; i < patch_pixels; i += THREADS / packs) {
                Pack<T, PACK<T>> elements;
                UNROLL for (i32 k = 0; k < PACK<T>; ++k) {
                    elements[k] = stored<T>(0.0f, 0.0f, zero);
                }
                const i32 pixel = pixels[i];
                if (pixel >= 0 && inside(base + pack, inputs)) {
                    elements = load_pack<PACK<T>>(map, static_cast<i64>(pixel) * inputs + base + pack);
                }
                store_pack<PACK<T>>(patch, i * stride + pack, elements);
            }
            block_barrier();
            Walk at = walk;
            at.begin();
            for (i32 done = 0; done < count; done += AHEAD) {  // harmless once more: every step is masked
                UNROLL for (i32 u = 0; u < AHEAD; ++u) {
                    if (inside(done + u, count)) {
                        const i32 place = (at.tap_row * patch_pitch + at.tap_column) * stride + at.step * Tile<T>::DEPTH;
                        UNROLL for (i32 m = 0; m < ROWS; ++m) {
                            const i32 above = place + upper[m];
                            const typename Tile<T>::Left rows = left<T>(patch + above, patch + (above + lower));
                            UNROLL for (i32 j = 0; j < COLUMNS; ++j) {
                                multiply<T>(sums[m][j], rows, ahead[u][j]);
                            }
                        }
                        at.advance();
                    }
                    if (inside(done + u + AHEAD, count)) {
                        ahead[u] = fetch<T>(weights, static_cast<i64>(reader.tap * all_steps + first_step + reader.step) * groups + group);
                        reader.advance();
                    }
                }
            }
        }

        if constexpr (SPLIT) {
            using Sum = typename Operand<T>::Sum;
            SHARED(Sum, parts, WARPS * ROWS * COLUMNS * 4 * WARP);
            constexpr i32 EACH = COLUMNS * 4 * WARP;
            UNROLL for (i32 m = 0; m < ROWS; ++m) {
                UNROLL for (i32 i = 0; i < COLUMNS * 4; ++i) {
                    parts[(warp_index() * ROWS + m) * EACH + i * WARP + lane_index()] = sums[m][i / 4][i % 4];
                }
            }
            block_barrier();
            ROLLED for (i32 m = 0; m < owned; ++m) {
                Array<Accumulator, COLUMNS> row;
                UNROLL for (i32 i = 0; i < COLUMNS * 4; ++i) {
                    Sum sum = 0;
                    for (i32 k = 0; k < shares; ++k) {
                        const i32 warp = (k * c.warps_over_outputs + over_outputs) * c.warps_over_pixels + over_pixels;
                        sum += parts[(warp * ROWS + share * owned + m) * EACH + i * WARP + lane_index()];
                    }
                    row[i / 4][i % 4] = sum;
                }
                put(sums, m, row);
            }
        }

        // From sums to values: of the upper row's 4 channels, then the lower's.
        Pack<i32, 4> missing = {};
        Pack<f32, 4> factors = {};
        if constexpr (Operand<T>::INTEGER) {
            missing = load_pack<4>(main ? c.sums : c.projection_sums, channel);
            if (!main) {
                factors = load_pack<4>(c.projection_factors, channel);
            }
        }
        ROLLED for (i32 m = 0; m < owned; ++m) {  // harmless once more: nobody reads that row
            Pack<f32, 4> scales = {};
            Pack<f32, 4> shifts = {};
            const Place place = place_of(m);
            if (main && place.upper.real) {
                const i64 record = static_cast<i64>(place.upper.record) * c.condition_stride;
                scales = load_pack<4>(c.conditions, record + channel);
                shifts = load_pack<4>(c.conditions, record + c.outputs + channel);
            }
            const Array<Accumulator, COLUMNS> own = pick(sums, m);
            Array<f32, 8> row = pick(values, m);
            UNROLL for (i32 i = 0; i < 8; ++i) {
                const i32 k = i % 4;
                const f32 sum = static_cast<f32>(own[k / 2][i / 4 * 2 + k % 2] + static_cast<typename Operand<T>::Sum>(missing[k]));
                if (main) {
                    row[i] = fused(scales[k], sum, shifts[k]);
                } else if constexpr (Operand<T>::INTEGER) {
                    row[i] = fused(factors[k], sum, row[i]);
                } else {
                    row[i] += sum;
                }
            }
            put(values, m, row);
        }
    }

    ROLLED for (i32 m = 0; m < owned; ++m) {
        const Place place = place_of(m);
        const i64 above = (static_cast<i64>(place.upper.record) * c.height + place.upper.y) * c.width + place.x;
        Array<f32, 8> row = pick(values, m);
        UNROLL for (i32 dy = 0; dy < 2; ++dy) {
            if (place.real(dy)) {
                add_shortcut(c, above + dy * c.width, channel, row, 4 * dy);
            }
        }
        UNROLL for (i32 i = 0; i < 8; ++i) {
            row[i] = activated(activation, row[i]);
        }
        if (c.pooled != 0) {
            UNROLL for (i32 k = 0; k < 4; ++k) {
                const f32 both = row[k] + row[4 + k];
                row[k] = 0.25f * (both + shuffle_xor(both, 4));
            }
        }
        UNROLL for (i32 dy = 0; dy < 2; ++dy) {
            bool mine = place.real(dy);
            i64 pixel = above + dy * c.width;
            if (c.pooled != 0) {
                // The upper left lane of a window that is whole writes its mean.
                mine = dy == 0 && place.x % 2 == 0 && place.real(1) && inside(place.x + 1, c.width);
                pixel = (static_cast<i64>(place.upper.record) * (c.height / 2) + place.upper.y / 2) * (c.width / 2) + place.x / 2;
            }
            Pack<R, 4> results;
            UNROLL for (i32 k = 0; k < 4; ++k) {
                results[k] = stored<R>(row[4 * dy + k], c.output_factor, c.output_zero);
            }
            if (mine) {
                store_pack<4>(c.output, pixel * c.outputs + channel, results);
            }
        }
    }
}

// The convolution of a single channel: a thread makes 4 channels of some rows of a column.
template <class T, class R>
struct Single {
    In<T> input;
    In<f32> weights;
    In<f32> conditions;
    In<f32> numerator;
    In<f32> denominator;
    Out<R> output;
    i32 records, height, width, outputs, condition_stride, numerators, denominators;
    i32 input_zero, output_zero;
    f32 input_factor, output_factor;
};

template <class T, class R>
DEVICE void single(const Single<T, R>& c) {
    const i32 quads = c.outputs / 4;
    const i32 strips = (c.height + SINGLE_ROWS - 1) / SINGLE_ROWS;
    i32 index = block_index() * THREADS + thread_index();
    const i32 channel = index % quads * 4;
    index /= quads;
    const i32 x = index % c.width;
    index /= c.width;
    const i32 y = index % strips * SINGLE_ROWS;
    const i32 record = index / strips;
    const bool real = inside(record, c.records);
    const i64 map = static_cast<i64>(record) * c.height * c.width;
    Array<Array<f32, 3>, SINGLE_ROWS + 2> around;
    UNROLL for (i32 dy = 0; dy < SINGLE_ROWS + 2; ++dy) {
        UNROLL for (i32 dx = 0; dx < 3; ++dx) {
            const i32 row = y + dy - 1;
            const i32 column = x + dx - 1;
            f32 value = 0.0f;
            if (real && row >= 0 && column >= 0 && inside(row, c.height) && inside(column, c.width)) {
                value = widen(c.input[map + row * c.width + column]);
                if constexpr (sizeof(R) == 1) {
                    value = rounded(value, c.input_factor, c.input_zero);
                }
            }
            around[dy][dx] = value;
        }
    }
    Array<Array<f32, 4>, SINGLE_ROWS> sums = {};
    UNROLL for (i32 tap = 0; tap < 9; ++tap) {
        const Pack<f32, 4> weights = load_pack<4>(c.weights, tap * c.outputs + channel);
        UNROLL for (i32 dy = 0; dy < SINGLE_ROWS; ++dy) {
            UNROLL for (i32 k = 0; k < 4; ++k) {
                sums[dy][k] = fused(weights[k], around[dy + tap / 3][tap % 3], sums[dy][k]);
            }
        }
    }
    const i64 condition = static_cast<i64>(record) * c.condition_stride + channel;
    Pack<f32, 4> scales = {};
    Pack<f32, 4> shifts = {};
    if (real) {
        scales = load_pack<4>(c.conditions, condition);
        shifts = load_pack<4>(c.conditions, condition + c.outputs);
    }
    // Not before: its registers are needed for sums until now.
    const Activation activation = load_activation(c.numerator, c.numerators, c.denominator, c.denominators);
    UNROLL for (i32 dy = 0; dy < SINGLE_ROWS; ++dy) {
        Pack<R, 4> results;
        UNROLL for (i32 k = 0; k < 4; ++k) {
            const f32 value = activated(activation, fused(scales[k], sums[dy][k], shifts[k]));
            results[k] = stored<R>(value, c.output_factor, c.output_zero);
        }
        if (real && inside(y + dy, c.height)) {
            store_pack<4>(c.output, (map + (y + dy) * c.width + x) * c.outputs + channel, results);
        }
    }
}

// Means of `side`×`side` pixels; a thread makes 4 channels of one.
template <class T, class R>
DEVICE void pool(
    In<T> from, Out<R> to, i32 records, i32 height, i32 width, i32 channels, i32 side, i32 from_zero, i32 to_zero,
    f32 from_scale, f32 to_factor
) {
    const i32 quads = channels / 4;
    i32 index = block_index() * THREADS + thread_index();
    const i32 channel = index % quads * 4;
    index /= quads;
    const i32 x = index % (width / side);
    index /= width / side;
    const i32 y = index % (height / side);
    const i32 record = index / (height / side);
    if (!inside(record, records)) {
        return;
    }
    Array<f32, 4> sums = {};
    ROLLED for (i32 dy = 0; dy < side; ++dy) {
        ROLLED for (i32 dx = 0; dx < side; ++dx) {
            const i64 pixel = (static_cast<i64>(record) * height + y * side + dy) * width + x * side + dx;
            const Pack<T, 4> elements = load_pack<4>(from, pixel * channels + channel);
            UNROLL for (i32 k = 0; k < 4; ++k) {
                sums[k] += loaded(elements[k], 1.0f, from_zero);
            }
        }
    }
    const f32 scale = from_scale / static_cast<f32>(side * side);
    Pack<R, 4> means;
    UNROLL for (i32 k = 0; k < 4; ++k) {
        means[k] = stored<R>(scale * sums[k], to_factor, to_zero);
    }
    const i64 pixel = (static_cast<i64>(record) * (height / side) + y) * (width / side) + x;
    store_pack<4>(to, pixel * channels + channel, means);
}

}  // namespace residual

#define CONVOLUTION(T, R, NAME, SPLIT)                                                                                     \
    KERNEL(                                                                                                                \
        NAME, residual::THREADS,                                                                                           \
        (In<T> input, In<T> weights, In<i32> sums, In<f32> conditions, In<T> shortcut,                                     \
         In<residual::Operand<T>::Plain> plain, In<T> projection, In<i32> projection_sums, In<f32> projection_factors,     \
         In<f32> numerator, In<f32> denominator, Out<R> output, i32 records, i32 height, i32 width, i32 inputs,            \
         i32 outputs, i32 side, i32 pooled, i32 condition_stride, i32 shortcut_kind, i32 shortcut_inputs, i32 numerators,  \
         i32 denominators, i32 columns, i32 warps_over_pixels, i32 warps_over_outputs, i32 depth, i32 shortcut_depth,      \
         i32 input_zero, i32 shortcut_zero, i32 output_zero, f32 shortcut_scale, f32 output_factor)                        \
    ) {                                                                                                                    \
        residual::convolve<T, R, SPLIT>(                                                                                   \
            {input, weights, sums, conditions, shortcut, plain, projection, projection_sums, projection_factors, output,   \
             records, height, width, inputs, outputs, side, pooled, condition_stride, shortcut_kind, shortcut_inputs,      \
             columns, warps_over_pixels, warps_over_outputs, depth, shortcut_depth, input_zero, shortcut_zero,             \
             output_zero, shortcut_scale, output_factor},                                                                  \
            load_activation(numerator, numerators, denominator, denominators)                                              \
        );                                                                                                                 \
    }
#define CONVOLUTIONS(T, R)                                            \
    CONVOLUTION(T, R, residual_convolution_##T##_##R, false)          \
    CONVOLUTION(T, R, residual_convolution_##T##_##R##_split, true)

CONVOLUTIONS(f32, f32)
CONVOLUTIONS(f16, f16)
CONVOLUTIONS(bf16, bf16)
CONVOLUTIONS(i8, i8)
CONVOLUTIONS(i8, f32)

#define SINGLE(T, R)                                                                                                       \
    KERNEL(                                                                                                                \
        residual_single_##T##_##R, residual::THREADS,                                                                      \
        (In<T> input, In<f32> weights, In<f32> conditions, In<f32> numerator, In<f32> denominator, Out<R> output,          \
         i32 records, i32 height, i32 width, i32 outputs, i32 condition_stride, i32 numerators, i32 denominators,          \
         i32 input_zero, i32 output_zero, f32 input_factor, f32 output_factor)                                             \
    ) {                                                                                                                    \
        residual::single<T, R>(                                                                                            \
            {input, weights, conditions, numerator, denominator, output, records, height, width, outputs,                  \
             condition_stride, numerators, denominators, input_zero, output_zero, input_factor, output_factor}             \
        );                                                                                                                 \
    }

SINGLE(f32, f32)
SINGLE(f16, f16)
SINGLE(bf16, bf16)
SINGLE(f32, i8)

#define POOL(T, R)                                                                                                         \
    KERNEL(                                                                                                                \
        residual_pool_##T##_##R, residual::THREADS,                                                                        \
        (In<T> from, Out<R> to, i32 records, i32 height, i32 width, i32 channels, i32 side, i32 from_zero, i32 to_zero,    \
         f32 from_scale, f32 to_factor)                                                                                    \
    ) {                                                                                                                    \
        residual::pool<T, R>(                                                                                              \
            from, to, records, height, width, channels, side, from_zero, to_zero, from_scale, to_factor                    \
        );                                                                                                                 \
    }

POOL(f32, f32)
POOL(f16, f16)
POOL(bf16, bf16)
POOL(i8, i8)
POOL(i8, f32)
POOL(f32, i8)
POOL(f16, i8)
POOL(bf16, i8)
