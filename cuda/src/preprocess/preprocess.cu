// From raw int16 samples at 300 Hz to the two inputs of the network, as `dualnet_engine::signal` makes them on a CPU: standardized
// windows and a log-spectrogram, for a batch of records in one launch.
//
// Row r of the grid is record r, block b of it makes frames 96 b … of the spectrogram and windows 14 b … of the lead. Each block adds
// up the record's samples anew, in integers: that is exact, so blocks and orders of threads cannot differ.
#include "device.cuh"

namespace preprocess {

constexpr i32 MAX_SAMPLES = 18000;
constexpr i32 WINDOWS = 80;
constexpr i32 WINDOW = 256;
constexpr i32 WINDOW_STEP = 224;
constexpr i32 FRAMES = 563;
constexpr i32 BINS = 33;
constexpr i32 FFT = 64;
constexpr i32 HALF = 32;
constexpr i32 HOP = 32;
constexpr f32 FLOOR = 1e-8f;

// A thread makes one frame.
constexpr i32 THREADS = 96;
constexpr i32 WARPS = THREADS / WARP;
// Blocks of a record.
constexpr i32 TILES = (FRAMES + THREADS - 1) / THREADS;
constexpr i32 WINDOWS_OF_TILE = (WINDOWS + TILES - 1) / TILES;
// Padded samples that a tile's frames read.
constexpr i32 REACH = THREADS * HOP + FFT - HOP;

// Where padded sample p of a tile lies: frames start HOP words apart, and one more word keeps their lanes in different banks.
DEVICE i32 skewed(i32 p) { return p + p / HOP; }
constexpr i32 SKEWED = REACH + (REACH - 1) / HOP;

// A record's samples and what standardizes them: (n x - sum) · scale, where n x - sum is an exact integer below 2^31.
struct Lead {
    In<i16> samples;
    i32 count;
    i32 sum;
    f32 scale;
};

DEVICE f32 standardized(const Lead& lead, i32 position) {
    return static_cast<f32>(lead.count * static_cast<i32>(lead.samples[position]) - lead.sum) * lead.scale;
}

// Sum and scale of a record, the same in every thread of the block.
DEVICE Lead measure(In<i16> samples, i32 count) {
    SHARED(i64, of_warps, 2 * WARPS);
    SHARED(f32, shared_scale, 1);
    i64 sum = 0, squares = 0;
    for (i32 i = thread_index(); i < count; i += THREADS) {
        const i64 sample = samples[i];
        sum += sample;
        squares += sample * sample;
    }
    sum = warp_sum(sum);
    squares = warp_sum(squares);
    if (lane_index() == 0) {
        of_warps[warp_index()] = sum;
        of_warps[WARPS + warp_index()] = squares;
    }
    block_barrier();
    sum = 0;
    for (i32 warp = 0; warp < WARPS; ++warp) {
        sum += of_warps[warp];
    }
    if (thread_index() == 0) {
        i64 total = 0;
        for (i32 warp = 0; warp < WARPS; ++warp) {
            total += of_warps[WARPS + warp];
        }
        const i64 n = count;
        const f64 variance = static_cast<f64>(n * total - sum * sum) / static_cast<f64>(n * (n - 1));
        shared_scale[0] = static_cast<f32>(1.0 / (static_cast<f64>(n) * (square_root(variance) + 1e-8)));
    }
    block_barrier();
    return {samples, count, static_cast<i32>(sum), shared_scale[0]};
}

template <class T>
DEVICE void write_windows(const Lead& lead, i32 tile, Out<T> ecg) {
    for (i32 i = thread_index(); i < WINDOWS_OF_TILE * WINDOW; i += THREADS) {
        const i32 window = tile * WINDOWS_OF_TILE + i / WINDOW;
        if (inside(window, WINDOWS)) {
            const i32 position = window * WINDOW_STEP + i % WINDOW;
            f32 value = 0.0f;
            if (inside(position, lead.count)) {
                value = standardized(lead, position);
            }
            ecg[window * WINDOW + i % WINDOW] = narrow<T>(value);
        }
    }
}

// The lead that a tile's frames see, reflected at both ends without repeating the edge sample; zeros where no frame looks.
DEVICE void load_padded(const Lead& lead, i32 tile, Shared<f32> padded) {
    for (i32 p = thread_index(); p < REACH; p += THREADS) {
        i32 position = tile * THREADS * HOP + p - HALF;
        f32 value = 0.0f;
        if (inside(position, lead.count + HALF)) {
            if (position < 0) {
                position = -position;
            }
            if (!inside(position, lead.count)) {
                position = 2 * (lead.count - 1) - position;
            }
            value = standardized(lead, position);
        }
        padded[skewed(p)] = value;
    }
}

// Log-magnitudes of the frame that starts at padded sample `start`. The Hann window and the cosine are even about the middle of a frame
// and the sine is odd, so that each pair of samples is added and subtracted once for all bins.
DEVICE void transform(Shared<f32> padded, Shared<f32> cosines, i32 start, Shared<f32> row, i32 at) {
    // √Σw² of the Hann window w is √24.
    const f32 norm = 0.20412414523193154f;
    Array<f32, HALF> even, odd;
    even[0] = padded[skewed(start + HALF)] * norm;
    UNROLL for (i32 i = 1; i < HALF; ++i) {
        const f32 weight = (0.5f - 0.5f * cosines[i]) * norm;
        const f32 before = padded[skewed(start + i)] * weight;
        const f32 after = padded[skewed(start + FFT - i)] * weight;
        even[i] = before + after;
        odd[i] = before - after;
    }
    ROLLED for (i32 bin = 0; bin < BINS; ++bin) {
        f32 real = bin % 2 == 0 ? even[0] : -even[0];
        f32 imaginary = 0.0f;
        UNROLL for (i32 i = 1; i < HALF; ++i) {
            const i32 phase = bin * i % FFT;
            real = fused(even[i], cosines[phase], real);
            imaginary = fused(odd[i], cosines[(phase + 3 * FFT / 4) % FFT], imaginary);
        }
        const f32 size = square_root(fused(real, real, imaginary * imaginary));
        row[at + bin] = natural_logarithm(largest(size, FLOOR));
    }
}

// `samples` is [records, stride], `ecg` [records, 80, 256], `spectrogram` [records, 563, 33]; a record has between 33 and `stride`
// samples, of which the first 18 000 count.
template <class T>
DEVICE void prepare(In<i16> samples, i64 stride, In<i32> lengths, Out<T> ecg, Out<T> spectrogram) {
    SHARED(f32, cosines, FFT);
    SHARED(f32, padded, SKEWED);
    SHARED(f32, rows, THREADS * BINS);
    const i32 tile = block_index();
    const i64 record = block_row();
    const i32 length = lengths[record];
    const i32 count = length > MAX_SAMPLES ? MAX_SAMPLES : length;
    if (thread_index() < FFT) {
        cosines[thread_index()] = static_cast<f32>(cosine_of_pi(static_cast<f64>(thread_index()) / (FFT / 2)));
    }
    const Lead lead = measure(samples + record * stride, count);
    write_windows<T>(lead, tile, ecg + record * WINDOWS * WINDOW);
    load_padded(lead, tile, padded);
    block_barrier();

    const i32 frame = tile * THREADS + thread_index();
    if (frame <= count / HOP) {
        transform(padded, cosines, thread_index() * HOP, rows, thread_index() * BINS);
    } else {
        for (i32 bin = 0; bin < BINS; ++bin) {
            rows[thread_index() * BINS + bin] = 0.0f;
        }
    }
    block_barrier();
    const i64 first = (record * FRAMES + tile * THREADS) * BINS;
    for (i32 i = thread_index(); i < THREADS * BINS; i += THREADS) {
        if (inside(tile * THREADS * BINS + i, FRAMES * BINS)) {
            spectrogram[first + i] = narrow<T>(rows[i]);
        }
    }
}

}  // namespace preprocess

#define PREPROCESS(T)                                                                                \
    KERNEL(                                                                                          \
        preprocess_##T, preprocess::THREADS,                                                         \
        (In<i16> samples, i64 stride, In<i32> lengths, Out<T> ecg, Out<T> spectrogram)               \
    ) {                                                                                              \
        preprocess::prepare<T>(samples, stride, lengths, ecg, spectrogram);                          \
    }

PREPROCESS(f32)
PREPROCESS(f16)
PREPROCESS(bf16)
