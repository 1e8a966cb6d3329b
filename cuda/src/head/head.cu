// The conditions that the latent gives all norms, and the network's head; `mod.rs` states shapes and layouts.
#include "rational.cuh"

namespace head {

// A block of `conditions` makes 32 outputs of 8 records; its warps share the latent's values.
constexpr i32 CONDITION_THREADS = 256;
constexpr i32 CONDITION_WARPS = CONDITION_THREADS / WARP;
constexpr i32 RECORDS = 8;
// Values of the latent that a block has in shared memory at a time.
constexpr i32 SLICE = 256;

// A block of the head makes one record.
constexpr i32 THREADS = 512;
// The most values of the latent, and channels of the features; `WIDEST` in `mod.rs`.
constexpr i32 WIDEST = 2048;
constexpr i32 MOST_CLASSES = 32;
// Magnitude of a condition within which 8-bit results are defined.
constexpr f32 LARGEST_CONDITION = 1e28f;

DEVICE void conditions(In<f32> latent, In<f32> weights, Out<f32> conditions, i32 records, i32 width, i32 total) {
    SHARED(f32, values, SLICE * RECORDS);
    SHARED(f32, parts, CONDITION_WARPS * RECORDS * WARP);
    const i32 output = block_index() * WARP + lane_index();
    const i32 first_record = block_row() * RECORDS;
    Array<f32, RECORDS> sums = {};
    for (i32 base = 0; base < width; base += SLICE) {  // harmless once more: nothing is left of the latent
        block_barrier();
        for (i32 i = thread_index(); i < SLICE * RECORDS; i += CONDITION_THREADS) {
            const i32 record = first_record + i % RECORDS;
            const i32 input = base + i / RECORDS;
            f32 value = 0.0f;
            if (inside(record, records) && inside(input, width)) {
                value = latent[static_cast<i64>(record) * width + input];
            }
            values[i] = value;
        }
        block_barrier();
        const i32 end = width - base < SLICE ? width - base : SLICE;
        for (i32 i = warp_index(); i < end; i += CONDITION_WARPS) {
            if (inside(output, total)) {
                const f32 weight = weights[static_cast<i64>(base + i) * total + output];
                UNROLL for (i32 r = 0; r < RECORDS; ++r) {
                    sums[r] = fused(weight, values[i * RECORDS + r], sums[r]);
                }
            }
        }
    }
    UNROLL for (i32 r = 0; r < RECORDS; ++r) {
        parts[(warp_index() * RECORDS + r) * WARP + lane_index()] = sums[r];
    }
    block_barrier();
    // Warp r adds up record r's.
    const i32 record = first_record + warp_index();
    if (inside(record, records) && inside(output, total)) {
        f32 sum = 0.0f;
        for (i32 warp = 0; warp < CONDITION_WARPS; ++warp) {
            sum += parts[(warp * RECORDS + warp_index()) * WARP + lane_index()];
        }
        conditions[static_cast<i64>(record) * total + output] = sum;
    }
}

template <class T>
struct Head {
    In<T> map;
    In<f32> linear;
    In<f32> bias;
    In<f32> numerator;
    In<f32> denominator;
    In<f32> latent;
    In<f32> classifier;
    In<f32> classifier_bias;
    In<f32> conditions;
    Out<f32> probabilities;
    i32 positions, channels, joined, has_latent, classes, condition_count;
    i32 zero;
    f32 scale;
};

template <class T>
DEVICE f32 loaded(T element, i32 zero) {
    if constexpr (sizeof(T) == 1) {
        return static_cast<f32>(element - zero);
    } else {
        return widen(element);
    }
}

template <class T>
DEVICE void head(const Head<T>& c) {
    SHARED(f32, means, WIDEST);
    SHARED(f32, parts, THREADS * 4);
    SHARED(f32, joined, WIDEST);
    SHARED(f32, logits, MOST_CLASSES);
    SHARED(i32, undefined, THREADS / WARP);
    const i64 record = block_index();

    // Whether a condition of the record is beyond what 8 bits can show.
    i32 bad = 0;
    ROLLED for (i32 i = thread_index(); i < c.condition_count; i += THREADS) {
        if (!(magnitude(c.conditions[record * c.condition_count + i]) <= LARGEST_CONDITION)) {
            bad = 1;
        }
    }
    bad = warp_sum(bad);
    if (lane_index() == 0) {
        undefined[warp_index()] = bad;
    }

    // The mean over positions of each channel.
    for (i32 i = thread_index(); i < c.channels; i += THREADS) {
        f32 sum = 0.0f;
        for (i32 position = 0; position < c.positions; ++position) {
            sum += loaded(c.map[(record * c.positions + position) * c.channels + i], c.zero);
        }
        means[i] = c.scale * sum / static_cast<f32>(c.positions);
    }
    block_barrier();

    // The linear map: threads beside one another make 4 outputs each, and those of each share add up other channels.
    const i32 quads = (c.joined + 3) / 4;
    const i32 shares = THREADS / quads;
    Array<f32, 4> sums = {};
    for (i32 i = thread_index() / quads; i < c.channels; i += shares) {
        const i64 first = (static_cast<i64>(i) * quads + thread_index() % quads) * 4;
        const Pack<f32, 4> weights = load_pack<4>(c.linear, first);
        UNROLL for (i32 k = 0; k < 4; ++k) {
            sums[k] = fused(weights[k], means[i], sums[k]);
        }
    }
    UNROLL for (i32 k = 0; k < 4; ++k) {
        parts[thread_index() * 4 + k] = sums[k];
    }
    block_barrier();
    const Activation activation = load_activation(c.numerator, c.channels > 0 ? 6 : 0, c.denominator, 4);
    for (i32 j = thread_index(); j < c.joined; j += THREADS) {
        f32 value = 0.0f;
        if (c.channels > 0) {
            value = c.bias[j];
            for (i32 share = 0; share < shares; ++share) {
                value += parts[share * quads * 4 + j];
            }
            value = activated(activation, value);
        }
        if (c.has_latent != 0) {
            value += c.latent[record * c.joined + j];
        }
        joined[j] = value;
    }
    block_barrier();

    ROLLED for (i32 k = warp_index(); k < c.classes; k += THREADS / WARP) {
        f32 sum = 0.0f;
        for (i32 j = lane_index(); j < c.joined; j += WARP) {
            sum = fused(c.classifier[static_cast<i64>(k) * c.joined + j], joined[j], sum);
        }
        sum = warp_sum(sum);
        if (lane_index() == 0) {
            logits[k] = sum + c.classifier_bias[k];
        }
    }
    block_barrier();
    const i32 k = thread_index();
    if (inside(k, c.classes)) {
        f32 highest = logits[0];
        ROLLED for (i32 i = 1; i < c.classes; ++i) {
            highest = largest(highest, logits[i]);
        }
        f32 total = 0.0f;
        ROLLED for (i32 i = 0; i < c.classes; ++i) {
            total += exponential(logits[i] - highest);
        }
        f32 probability = exponential(logits[k] - highest) / total;
        ROLLED for (i32 i = 0; i < THREADS / WARP; ++i) {
            if (undefined[i] != 0) {
                probability = not_a_number();
            }
        }
        c.probabilities[record * c.classes + k] = probability;
    }
}

}  // namespace head

KERNEL(
    head_conditions, head::CONDITION_THREADS,
    (In<f32> latent, In<f32> weights, Out<f32> conditions, i32 records, i32 width, i32 total)
) {
    head::conditions(latent, weights, conditions, records, width, total);
}

#define HEAD(T)                                                                                                            \
    KERNEL(                                                                                                                \
        head_##T, head::THREADS,                                                                                           \
        (In<T> map, In<f32> linear, In<f32> bias, In<f32> numerator, In<f32> denominator, In<f32> latent,                  \
         In<f32> classifier, In<f32> classifier_bias, In<f32> conditions, Out<f32> probabilities, i32 positions,           \
         i32 channels, i32 joined, i32 has_latent, i32 classes, i32 condition_count, i32 zero, f32 scale)                  \
    ) {                                                                                                                    \
        head::head<T>(                                                                                                     \
            {map, linear, bias, numerator, denominator, latent, classifier, classifier_bias, conditions, probabilities,    \
             positions, channels, joined, has_latent, classes, condition_count, zero, scale}                               \
        );                                                                                                                 \
    }

HEAD(f32)
HEAD(f16)
HEAD(bf16)
HEAD(i8)
