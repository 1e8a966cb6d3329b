// What lies between two convolutions in training, forward and backward: `site/mod.rs` says what is computed.
//
// A thread works on four channels of one record, at every `lanes`-th of a block's pixels. What belongs to a channel, statistics and their
// gradients, is computed in f64 by one block for each channel. Elements beyond the unit's limit, which training hardly meets, make a thread do
// its work again in f64.
#include "pade_gradient.cuh"

namespace site {

using namespace pade;

constexpr i32 THREADS = 256;
constexpr i32 WARPS = THREADS / WARP;
// Pixels that each thread takes, and channels.
constexpr i32 STEPS = 16;
constexpr i32 QUAD = 4;
// The order of the unit.
constexpr i32 M = 5;
constexpr i32 N = 4;
constexpr i32 COUNT = M + 1 + N;
constexpr f64 EPSILON = 1e-5;
constexpr f64 MOMENTUM = 0.1;

using Four = Pack<f32, QUAD>;

struct Extents {
    i32 records;
    i32 height;
    i32 width;
    i32 channels;
    i32 chunks;
};

DEVICE i32 pixels_of(const Extents& extents) { return extents.height * extents.width; }

// Where a thread works. Blocks of a record divide its pixels into chunks, and its channels into slices where a block has too few threads.
struct Place {
    // Groups of four channels of the block, and pixels that it takes at once.
    i32 quads;
    i32 lanes;
    i32 lane;
    // First channel of the block, and of the thread.
    i32 base;
    i32 channel;
    i32 chunk;
    // The thread's first pixel.
    i32 pixel;
};

DEVICE Place place(const Extents& extents) {
    Place at;
    const i32 quads = extents.channels / QUAD;
    at.quads = quads;
    if (quads > THREADS) {
        at.quads = THREADS;
    }
    const i32 slices = quads / at.quads;
    at.lanes = THREADS / at.quads;
    at.lane = thread_index() / at.quads;
    at.base = block_index() % slices * at.quads * QUAD;
    at.channel = at.base + thread_index() % at.quads * QUAD;
    at.chunk = block_index() / slices;
    at.pixel = at.chunk * at.lanes * STEPS + at.lane;
    return at;
}

// Index of a record's pixel in its map.
DEVICE i64 at_pixel(const Extents& extents, i32 channel, i32 pixel, i32 pixels) {
    return (static_cast<i64>(block_row()) * pixels + pixel) * extents.channels + channel;
}

// Adds two sums of four channels over the block's pixels; they go to `partials [records · chunks, 2, channels]`.
DEVICE void add_lanes(
    const Extents& extents, const Place& at, const Array<f32, QUAD>& first, const Array<f32, QUAD>& second, Out<f32> partials
) {
    SHARED(f32, of_lanes, 2 * THREADS * QUAD);
    const i32 width = at.quads * QUAD;
    UNROLL for (i32 k = 0; k < QUAD; ++k) {
        const i32 own = at.lane * width + at.channel - at.base + k;
        of_lanes[own] = first[k];
        of_lanes[at.lanes * width + own] = second[k];
    }
    block_barrier();
    const i64 row = static_cast<i64>(block_row()) * extents.chunks + at.chunk;
    for (i32 i = thread_index(); i < 2 * width; i += THREADS) {
        const i32 which = i / width;
        const i32 channel = i % width;
        f32 sum = 0.0f;
        for (i32 lane = 0; lane < at.lanes; ++lane) {
            sum += of_lanes[(which * at.lanes + lane) * width + channel];
        }
        partials[(row * 2 + which) * extents.channels + at.base + channel] = sum;
    }
}

// Sums of x and of its squares, both less the running mean: once that has come near the mean, little is lost where a channel is far from 0.
DEVICE void moments(In<f32> x, In<f32> running_mean, Out<f32> partials, const Extents& extents) {
    const Place at = place(extents);
    const i32 pixels = pixels_of(extents);
    Array<f32, QUAD> mean, sums, squares;
    UNROLL for (i32 k = 0; k < QUAD; ++k) {
        mean[k] = running_mean[at.channel + k];
        sums[k] = 0.0f;
        squares[k] = 0.0f;
    }
    for (i32 step = 0; step < STEPS; ++step) {
        const i32 pixel = at.pixel + step * at.lanes;
        if (inside(pixel, pixels)) {
            const Four value = load_pack<QUAD>(x, at_pixel(extents, at.channel, pixel, pixels));
            UNROLL for (i32 k = 0; k < QUAD; ++k) {
                const f32 centred = value[k] - mean[k];
                sums[k] += centred;
                squares[k] = fused(centred, centred, squares[k]);
            }
        }
    }
    add_lanes(extents, at, sums, squares, partials);
}

// Two sums over the block, in every thread.
DEVICE Array<f64, 2> block_sums(f64 first, f64 second) {
    SHARED(f64, of_warps, 2 * WARPS);
    first = warp_sum(first);
    second = warp_sum(second);
    if (lane_index() == 0) {
        of_warps[warp_index()] = first;
        of_warps[WARPS + warp_index()] = second;
    }
    block_barrier();
    Array<f64, 2> sums;
    UNROLL for (i32 k = 0; k < 2; ++k) {
        sums[k] = 0.0;
    }
    for (i32 warp = 0; warp < WARPS; ++warp) {
        sums[0] += of_warps[warp];
        sums[1] += of_warps[WARPS + warp];
    }
    return sums;
}

// Numbers of one record's channel in a modulation, or those that change nothing.
struct Condition {
    f64 factor;
    f64 summand;
};

DEVICE Condition condition(In<f32> modulation, i32 is_modulated, i32 record, i32 channel, i32 channels) {
    Condition at = {1.0, 0.0};
    if (is_modulated != 0) {
        const i64 row = static_cast<i64>(record) * 2 * channels;
        at.factor = static_cast<f64>(modulation[row + channel]);
        at.summand = static_cast<f64>(modulation[row + channels + channel]);
    }
    return at;
}

// Statistics of one channel, and its line for each record.
DEVICE void lines(
    In<f32> partials, In<f32> gamma, In<f32> beta, In<f32> modulation, Out<f32> running_mean, Out<f32> running_variance,
    Out<f64> statistics, Out<f32> lines, const Extents& extents, i32 is_modulated, i32 batch_statistics
) {
    const i32 channel = block_index();
    f64 mean = static_cast<f64>(running_mean[channel]);
    f64 variance = static_cast<f64>(running_variance[channel]);
    if (batch_statistics != 0) {
        f64 sum = 0.0, square = 0.0;
        const i32 rows = extents.records * extents.chunks;
        for (i32 row = thread_index(); row < rows; row += THREADS) {
            const i64 place = static_cast<i64>(row) * 2 * extents.channels + channel;
            sum += static_cast<f64>(partials[place]);
            square += static_cast<f64>(partials[place + extents.channels]);
        }
        // Its barrier comes after everybody has read the running statistics.
        const Array<f64, 2> sums = block_sums(sum, square);
        const f64 count = static_cast<f64>(extents.records) * static_cast<f64>(pixels_of(extents));
        const f64 offset = sums[0] / count;
        const f64 old_mean = mean, old_variance = variance;
        mean = old_mean + offset;
        variance = sums[1] / count - offset * offset;
        if (variance < 0.0) {
            variance = 0.0;
        }
        if (thread_index() == 0) {
            const f64 rest = count > 1.0 ? count - 1.0 : 1.0;
            const f64 unbiased = variance * count / rest;
            running_mean[channel] = static_cast<f32>(old_mean * (1.0 - MOMENTUM) + mean * MOMENTUM);
            running_variance[channel] = static_cast<f32>(old_variance * (1.0 - MOMENTUM) + unbiased * MOMENTUM);
        }
    }
    const f64 reciprocal = 1.0 / square_root(variance + EPSILON);
    if (thread_index() == 0) {
        statistics[channel] = mean;
        statistics[extents.channels + channel] = reciprocal;
    }
    const f64 slope = static_cast<f64>(gamma[channel]) * reciprocal;
    const f64 foot = static_cast<f64>(beta[channel]) - slope * mean;
    for (i32 record = thread_index(); record < extents.records; record += THREADS) {
        const Condition at = condition(modulation, is_modulated, record, channel, extents.channels);
        const i64 place = static_cast<i64>(record) * extents.channels + channel;
        lines[place] = static_cast<f32>(at.factor * slope);
        lines[static_cast<i64>(extents.records) * extents.channels + place] =
            static_cast<f32>(at.summand + at.factor * foot);
    }
}

// What the result is multiplied by: 1, a factor of each record's channel, or what dropout draws for each element.
constexpr i32 BY_CHANNELS = 1;
constexpr i32 BY_ELEMENTS = 2;
struct Gain {
    In<f32> channels;
    // Two words, the low one first.
    In<u32> key;
    i32 kind;
    // Draws below it leave an element out.
    i32 threshold;
    // Of the elements that are kept; 1 unless they are drawn.
    f32 factor;
};

// An element's draw, the one of `dualnet_engine::pau::affine::ElementDropout`.
DEVICE u32 draw(u32 low, u32 high, u32 element) {
    u32 bits = (element * 0x9e3779b1u) ^ low;
    bits = (bits ^ (bits >> 16)) * 0x85ebca6bu + high;
    bits = (bits ^ (bits >> 13)) * 0xc2b2ae35u;
    bits = (bits ^ (bits >> 16)) * 0x27d4eb2fu;
    return bits ^ (bits >> 15);
}

// Which of four elements dropout leaves out, a bit for each, the last one's lowest; the first is number `index` of the batch's maps. Beyond 2^32
// the draws repeat. The key is read each time: kept, it would take registers that others need more.
DEVICE u32 left_out(const Gain& gain, i64 index) {
    u32 bits = 0;
    if (gain.kind == BY_ELEMENTS) {
        const u32 low = gain.key[0];
        const u32 high = gain.key[1];
        UNROLL for (i32 k = 0; k < QUAD; ++k) {
            bits <<= 1;
            if (draw(low, high, static_cast<u32>(index) + static_cast<u32>(k)) < static_cast<u32>(gain.threshold)) {
                bits |= 1;
            }
        }
    }
    return bits;
}

// 0 for what is left out.
DEVICE f32 kept(u32 bits, i32 k, f32 value) {
    if ((bits >> (QUAD - 1 - k) & 1) != 0) {
        return 0.0f;
    }
    return value;
}

// What a thread's four channels have in common over its pixels.
struct Channels {
    Four scale;
    Four shift;
    Array<f32, QUAD> gain;
};

DEVICE Channels channels_at(const Extents& extents, i32 channel, In<f32> lines, const Gain& gain) {
    Channels own;
    const i64 row = static_cast<i64>(block_row()) * extents.channels + channel;
    own.scale = load_pack<QUAD>(lines, row);
    own.shift = load_pack<QUAD>(lines, static_cast<i64>(extents.records) * extents.channels + row);
    UNROLL for (i32 k = 0; k < QUAD; ++k) {
        own.gain[k] = gain.factor;
        if (gain.kind == BY_CHANNELS) {
            own.gain[k] = gain.channels[row + k];
        }
    }
    return own;
}

// u at four channels, of which `x` is what was read.
DEVICE Four argument(const Channels& own, const Four& x, In<f32> shortcut, i32 has_shortcut, i64 index) {
    Four u;
    UNROLL for (i32 k = 0; k < QUAD; ++k) {
        u[k] = fused(own.scale[k], x[k], own.shift[k]);
    }
    if (has_shortcut != 0) {
        const Four added = load_pack<QUAD>(shortcut, index);
        UNROLL for (i32 k = 0; k < QUAD; ++k) {
            u[k] += added[k];
        }
    }
    return u;
}

// F(u), in f64 beyond the limit where that is asked for.
template <bool EXACT>
DEVICE f32 activation(const Unit<M, N>& unit, const Coefficients& coefficients, f32 u) {
    if (EXACT && !(magnitude(u) <= unit.limit)) {
        return static_cast<f32>(exact(coefficients, u).value);
    }
    return value(unit, u);
}

struct Forward {
    In<f32> x;
    In<f32> shortcut;
    i32 has_shortcut;
    Gain gain;
    Out<f32> y;
    Coefficients coefficients;
    Extents extents;
};

// One thread's part of y; whether something was beyond the limit.
template <bool EXACT>
DEVICE bool forward_walk(const Forward& from, const Unit<M, N>& unit, const Channels& own) {
    const Extents extents = from.extents;
    const Place at = place(extents);
    const i32 pixels = pixels_of(extents);
    bool beyond = false;
    for (i32 step = 0; step < STEPS; ++step) {
        const i32 pixel = at.pixel + step * at.lanes;
        if (inside(pixel, pixels)) {
            const i64 index = at_pixel(extents, at.channel, pixel, pixels);
            const u32 zeros = left_out(from.gain, index);
            Four u = argument(own, load_pack<QUAD>(from.x, index), from.shortcut, from.has_shortcut, index);
            UNROLL for (i32 k = 0; k < QUAD; ++k) {
                beyond = beyond || !(magnitude(u[k]) <= unit.limit);
                u[k] = kept(zeros, k, own.gain[k] * activation<EXACT>(unit, from.coefficients, u[k]));
            }
            store_pack(from.y, index, u);
        }
    }
    return beyond;
}

// The same for means over 2×2 pixels.
template <bool EXACT>
DEVICE bool pooled_walk(const Forward& from, const Unit<M, N>& unit, const Channels& own) {
    const Extents extents = from.extents;
    const Place at = place(extents);
    const i32 pixels = pixels_of(extents);
    const i32 across = extents.width / 2;
    const i32 means = extents.height / 2 * across;
    bool beyond = false;
    for (i32 step = 0; step < STEPS; ++step) {
        const i32 mean = at.pixel + step * at.lanes;
        if (inside(mean, means)) {
            const i32 corner = mean / across * 2 * extents.width + mean % across * 2;
            Four sum;
            UNROLL for (i32 k = 0; k < QUAD; ++k) {
                sum[k] = 0.0f;
            }
            UNROLL for (i32 i = 0; i < 4; ++i) {
                const i64 index = at_pixel(extents, at.channel, corner + i / 2 * extents.width + i % 2, pixels);
                const u32 zeros = left_out(from.gain, index);
                const Four u = argument(own, load_pack<QUAD>(from.x, index), from.shortcut, from.has_shortcut, index);
                UNROLL for (i32 k = 0; k < QUAD; ++k) {
                    beyond = beyond || !(magnitude(u[k]) <= unit.limit);
                    sum[k] += kept(zeros, k, activation<EXACT>(unit, from.coefficients, u[k]));
                }
            }
            UNROLL for (i32 k = 0; k < QUAD; ++k) {
                sum[k] *= 0.25f * own.gain[k];
            }
            store_pack(from.y, at_pixel(extents, at.channel, mean, means), sum);
        }
    }
    return beyond;
}

DEVICE_COLD void forward_exactly(Forward from, Unit<M, N> unit, Channels own) { forward_walk<true>(from, unit, own); }
DEVICE_COLD void pooled_exactly(Forward from, Unit<M, N> unit, Channels own) { pooled_walk<true>(from, unit, own); }

struct Backward {
    In<f32> x;
    In<f64> statistics;
    In<f32> shortcut;
    i32 has_shortcut;
    Gain gain;
    In<f32> grad_y;
    Out<f32> grad_u;
    Coefficients coefficients;
    Extents extents;
    i32 pool;
};

// A thread's sums over its pixels: of the gradient of u, of its products with x less the mean, and for the unit's coefficients.
struct Sums {
    Array<f32, QUAD> u;
    Array<f32, QUAD> centred;
    Array<f32, COUNT> unit;
    bool beyond;
};

// The gradient that comes to a pixel, without the gain.
DEVICE Four arriving(const Backward& from, i32 channel, i32 pixel) {
    const Extents extents = from.extents;
    if (from.pool == 0) {
        return load_pack<QUAD>(from.grad_y, at_pixel(extents, channel, pixel, pixels_of(extents)));
    }
    const i32 across = extents.width / 2;
    const i32 down = extents.height / 2;
    const i32 row = pixel / extents.width / 2;
    const i32 column = pixel % extents.width / 2;
    Four gradient;
    UNROLL for (i32 k = 0; k < QUAD; ++k) {
        gradient[k] = 0.0f;
    }
    if (inside(row, down) && inside(column, across)) {
        gradient = load_pack<QUAD>(from.grad_y, at_pixel(extents, channel, row * across + column, down * across));
        UNROLL for (i32 k = 0; k < QUAD; ++k) {
            gradient[k] *= 0.25f;
        }
    }
    return gradient;
}

// gradient · F'(u) beyond the limit; adds to the sums of the coefficients.
DEVICE f32 exact_gradient(const Coefficients& coefficients, f32 u, f32 gradient, Array<f32, COUNT>& sums) {
    if (gradient == 0.0f && is_finite(u)) {
        return 0.0f;
    }
    const Exact point = exact(coefficients, u);
    add_exact_terms(coefficients, point, u < 0.0f, gradient, M, sums);
    return static_cast<f32>(static_cast<f64>(gradient) * point.derivative);
}

template <bool EXACT>
DEVICE Sums backward_walk(const Backward& from, const Unit<M, N>& unit, const Channels& own) {
    const Extents extents = from.extents;
    const Place at = place(extents);
    const i32 pixels = pixels_of(extents);
    Array<f32, QUAD> mean;
    Sums sums;
    UNROLL for (i32 k = 0; k < QUAD; ++k) {
        mean[k] = static_cast<f32>(from.statistics[at.channel + k]);
        sums.u[k] = 0.0f;
        sums.centred[k] = 0.0f;
    }
    UNROLL for (i32 k = 0; k < COUNT; ++k) {
        sums.unit[k] = 0.0f;
    }
    sums.beyond = false;
    ROLLED for (i32 step = 0; step < STEPS; ++step) {
        const i32 pixel = at.pixel + step * at.lanes;
        if (inside(pixel, pixels)) {
            const i64 index = at_pixel(extents, at.channel, pixel, pixels);
            const Four x = load_pack<QUAD>(from.x, index);
            const Four u = argument(own, x, from.shortcut, from.has_shortcut, index);
            Four gradient = arriving(from, at.channel, pixel);
            const u32 zeros = left_out(from.gain, index);
            UNROLL for (i32 k = 0; k < QUAD; ++k) {
                const bool beyond = !(magnitude(u[k]) <= unit.limit);
                sums.beyond = sums.beyond || beyond;
                const f32 to_value = kept(zeros, k, gradient[k] * own.gain[k]);
                if (EXACT && beyond) {
                    gradient[k] = exact_gradient(from.coefficients, u[k], to_value, sums.unit);
                } else {
                    gradient[k] = gradient_at(unit, u[k], to_value, sums.unit);
                }
                sums.u[k] += gradient[k];
                sums.centred[k] = fused(gradient[k], x[k] - mean[k], sums.centred[k]);
            }
            store_pack(from.grad_u, index, gradient);
        }
    }
    return sums;
}

DEVICE_COLD Sums backward_exactly(Backward from, Unit<M, N> unit, Channels own) {
    return backward_walk<true>(from, unit, own);
}

DEVICE void backward(const Backward& from, In<f32> lines, Out<f32> partials, Out<f32> unit_partials) {
    const Unit<M, N> unit = load_unit<M, N>(from.coefficients);
    const Place at = place(from.extents);
    const Channels own = channels_at(from.extents, at.channel, lines, from.gain);
    Sums sums = backward_walk<false>(from, unit, own);
    if (sums.beyond) {
        sums = backward_exactly(from, unit, own);
    }
    add_lanes(from.extents, at, sums.u, sums.centred, partials);

    SHARED(f32, units_of_warps, WARPS * COUNT);
    UNROLL for (i32 k = 0; k < COUNT; ++k) {
        const f32 sum = warp_sum(sums.unit[k]);
        if (lane_index() == 0) {
            units_of_warps[warp_index() * COUNT + k] = sum;
        }
    }
    block_barrier();
    const i32 k = thread_index();
    if (inside(k, COUNT)) {
        f32 sum = 0.0f;
        for (i32 warp = 0; warp < WARPS; ++warp) {
            sum += units_of_warps[warp * COUNT + k];
        }
        const i64 blocks = static_cast<i64>(grid_size()) * from.extents.records;
        unit_partials[k * blocks + static_cast<i64>(block_row()) * grid_size() + block_index()] = sum;
    }
}

// Gradients of one channel's numbers, and the line by which x goes into its own gradient through the batch's statistics.
DEVICE void gradients(
    In<f32> sums, In<f64> statistics, In<f32> gamma, In<f32> beta, In<f32> modulation, Out<f32> grad_gamma,
    Out<f32> grad_beta, Out<f32> grad_modulation, Out<f32> towards, const Extents& extents, i32 is_modulated,
    i32 batch_statistics
) {
    const i32 channel = block_index();
    const i32 channels = extents.channels;
    const f64 mean = statistics[channel];
    const f64 reciprocal = statistics[channels + channel];
    const f64 slope = static_cast<f64>(gamma[channel]) * reciprocal;
    // The sums were taken less the mean as f32 has it.
    const f64 rounding = static_cast<f64>(static_cast<f32>(mean)) - mean;
    f64 to_gamma = 0.0, to_beta = 0.0;
    for (i32 record = thread_index(); record < extents.records; record += THREADS) {
        f64 u = 0.0, centred = 0.0;
        for (i32 chunk = 0; chunk < extents.chunks; ++chunk) {
            const i64 row = static_cast<i64>(record) * extents.chunks + chunk;
            u += static_cast<f64>(sums[row * 2 * channels + channel]);
            centred += static_cast<f64>(sums[(row * 2 + 1) * channels + channel]);
        }
        centred += rounding * u;
        const Condition at = condition(modulation, is_modulated, record, channel, channels);
        to_gamma += at.factor * reciprocal * centred;
        to_beta += at.factor * u;
        if (is_modulated != 0) {
            const i64 row = static_cast<i64>(record) * 2 * channels;
            grad_modulation[row + channel] = static_cast<f32>(slope * centred + static_cast<f64>(beta[channel]) * u);
            grad_modulation[row + channels + channel] = static_cast<f32>(u);
        }
    }
    const Array<f64, 2> whole = block_sums(to_gamma, to_beta);
    if (thread_index() == 0) {
        grad_gamma[channel] = static_cast<f32>(whole[0]);
        grad_beta[channel] = static_cast<f32>(whole[1]);
        f64 factor = 0.0, constant = 0.0;
        if (batch_statistics != 0) {
            const f64 count = static_cast<f64>(extents.records) * static_cast<f64>(pixels_of(extents));
            factor = -slope * reciprocal * whole[0] / count;
            constant = -slope * whole[1] / count - factor * mean;
        }
        towards[channel] = static_cast<f32>(factor);
        towards[channels + channel] = static_cast<f32>(constant);
    }
}

DEVICE void input(In<f32> x, In<f32> grad_u, In<f32> lines, In<f32> towards, Out<f32> grad_x, const Extents& extents) {
    const Place at = place(extents);
    const i32 pixels = pixels_of(extents);
    const Four scale = load_pack<QUAD>(lines, static_cast<i64>(block_row()) * extents.channels + at.channel);
    const Four factor = load_pack<QUAD>(towards, at.channel);
    const Four constant = load_pack<QUAD>(towards, extents.channels + at.channel);
    for (i32 step = 0; step < STEPS; ++step) {
        const i32 pixel = at.pixel + step * at.lanes;
        if (inside(pixel, pixels)) {
            const i64 index = at_pixel(extents, at.channel, pixel, pixels);
            const Four value = load_pack<QUAD>(x, index);
            Four gradient = load_pack<QUAD>(grad_u, index);
            UNROLL for (i32 k = 0; k < QUAD; ++k) {
                gradient[k] = fused(scale[k], gradient[k], fused(factor[k], value[k], constant[k]));
            }
            store_pack(grad_x, index, gradient);
        }
    }
}

}  // namespace site

KERNEL(
    site_moments, site::THREADS,
    (In<f32> x, In<f32> running_mean, Out<f32> partials, i32 records, i32 height, i32 width, i32 channels, i32 chunks)
) {
    site::moments(x, running_mean, partials, {records, height, width, channels, chunks});
}

KERNEL(
    site_lines, site::THREADS,
    (In<f32> partials, In<f32> gamma, In<f32> beta, In<f32> modulation, Out<f32> running_mean, Out<f32> running_variance,
     Out<f64> statistics, Out<f32> lines, i32 records, i32 height, i32 width, i32 channels, i32 chunks, i32 is_modulated,
     i32 batch_statistics)
) {
    site::lines(
        partials, gamma, beta, modulation, running_mean, running_variance, statistics, lines,
        {records, height, width, channels, chunks}, is_modulated, batch_statistics
    );
}

KERNEL(
    site_forward, site::THREADS,
    (In<f32> x, In<f32> lines, In<f32> shortcut, In<f32> gain, In<u32> key, Out<f32> y, In<f32> numerator,
     In<f32> denominator, i32 records, i32 height, i32 width, i32 channels, i32 chunks, i32 has_shortcut, i32 gain_kind,
     i32 threshold, i32 numerators, i32 denominators, f32 factor)
) {
    const site::Forward from = {x, shortcut, has_shortcut, {gain, key, gain_kind, threshold, factor}, y,
                                {numerator, numerators, denominator, denominators},
                                {records, height, width, channels, chunks}};
    const auto unit = pade::load_unit<site::M, site::N>(from.coefficients);
    const site::Channels own = site::channels_at(from.extents, site::place(from.extents).channel, lines, from.gain);
    if (site::forward_walk<false>(from, unit, own)) {
        site::forward_exactly(from, unit, own);
    }
}

KERNEL(
    site_forward_pooled, site::THREADS,
    (In<f32> x, In<f32> lines, In<f32> shortcut, In<f32> gain, In<u32> key, Out<f32> y, In<f32> numerator,
     In<f32> denominator, i32 records, i32 height, i32 width, i32 channels, i32 chunks, i32 has_shortcut, i32 gain_kind,
     i32 threshold, i32 numerators, i32 denominators, f32 factor)
) {
    const site::Forward from = {x, shortcut, has_shortcut, {gain, key, gain_kind, threshold, factor}, y,
                                {numerator, numerators, denominator, denominators},
                                {records, height, width, channels, chunks}};
    const auto unit = pade::load_unit<site::M, site::N>(from.coefficients);
    const site::Channels own = site::channels_at(from.extents, site::place(from.extents).channel, lines, from.gain);
    if (site::pooled_walk<false>(from, unit, own)) {
        site::pooled_exactly(from, unit, own);
    }
}

KERNEL(
    site_backward, site::THREADS,
    (In<f32> x, In<f32> lines, In<f64> statistics, In<f32> shortcut, In<f32> gain, In<u32> key, In<f32> grad_y,
     Out<f32> grad_u, Out<f32> sums, Out<f32> unit_partials, In<f32> numerator, In<f32> denominator, i32 records, i32 height,
     i32 width, i32 channels, i32 chunks, i32 has_shortcut, i32 gain_kind, i32 threshold, i32 numerators, i32 denominators,
     i32 pool, f32 factor)
) {
    const site::Backward from = {x, statistics, shortcut, has_shortcut, {gain, key, gain_kind, threshold, factor}, grad_y, grad_u,
                                 {numerator, numerators, denominator, denominators},
                                 {records, height, width, channels, chunks}, pool};
    site::backward(from, lines, sums, unit_partials);
}

KERNEL(
    site_gradients, site::THREADS,
    (In<f32> sums, In<f64> statistics, In<f32> gamma, In<f32> beta, In<f32> modulation, Out<f32> grad_gamma,
     Out<f32> grad_beta, Out<f32> grad_modulation, Out<f32> towards, i32 records, i32 height, i32 width, i32 channels,
     i32 chunks, i32 is_modulated, i32 batch_statistics)
) {
    site::gradients(
        sums, statistics, gamma, beta, modulation, grad_gamma, grad_beta, grad_modulation, towards,
        {records, height, width, channels, chunks}, is_modulated, batch_statistics
    );
}

KERNEL(
    site_unit_gradients, site::THREADS,
    (In<f32> unit_partials, In<f32> numerator, In<f32> denominator, Out<f32> grad_numerator, Out<f32> grad_denominator,
     i32 blocks, i32 numerators, i32 denominators)
) {
    pade::gradients<site::THREADS>(
        unit_partials, blocks, site::M + 1, {numerator, numerators, denominator, denominators}, grad_numerator, grad_denominator
    );
}

KERNEL(
    site_input, site::THREADS,
    (In<f32> x, In<f32> grad_u, In<f32> lines, In<f32> towards, Out<f32> grad_x, i32 records, i32 height, i32 width,
     i32 channels, i32 chunks)
) {
    site::input(x, grad_u, lines, towards, grad_x, {records, height, width, channels, chunks});
}
