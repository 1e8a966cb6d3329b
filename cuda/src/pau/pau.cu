// The Padé activation unit, forward and backward, F(x) = Σ a_k x^k / (1 + Σ |b_k| |x|^k): what `dualnet_engine::pau` computes on a
// CPU, with its tolerances, for elements of f32, f16 and bf16 and coefficients of f32. An entry point of order M/N takes any
// unit of at most M + 1 and N coefficients.
//
// Gradients of the coefficients are sums over all elements. Each thread adds the terms of at most CHUNK / THREADS elements in
// registers, a block adds its threads' and writes one partial sum per coefficient, and `pau_gradients` adds those in f64. Where the
// cuts fall depends on the number of elements alone, so that every device gives the same sums, and always the same.
#include "pade_gradient.cuh"

namespace pau {

using namespace pade;

constexpr i32 THREADS = 256;
constexpr i32 WARPS = THREADS / WARP;
// Elements of one block of backward, and of one partial sum. `pau/mod.rs` counts blocks by it.
constexpr i32 CHUNK = 8192;
// Accesses that one thread of forward has in flight.
constexpr i32 DEPTH = 2;

// The elements from `first` on: in one access where it fits and `packed` says that the memory is aligned, one by one and as
// zeros beyond `count` elsewhere.
template <class T>
DEVICE Pack<T, PACK<T>> read(In<T> memory, i64 first, i64 count, bool packed) {
    if (packed && inside(first + PACK<T> - 1, count)) {
        return load_pack<PACK<T>>(memory, first);
    }
    Pack<T, PACK<T>> pack;
    UNROLL for (i32 k = 0; k < PACK<T>; ++k) {
        pack[k] = narrow<T>(0.0f);
        if (inside(first + k, count)) {
            pack[k] = memory[first + k];
        }
    }
    return pack;
}

template <class T>
DEVICE void write(Out<T> memory, i64 first, i64 count, bool packed, const Pack<T, PACK<T>>& pack) {
    if (packed && inside(first + PACK<T> - 1, count)) {
        store_pack<PACK<T>>(memory, first, pack);
        return;
    }
    UNROLL for (i32 k = 0; k < PACK<T>; ++k) {
        if (inside(first + k, count)) {
            memory[first + k] = pack[k];
        }
    }
}

// F of those of a thread's elements that are beyond the limit; they lie in accesses every SWEEP elements from `first` to `end`.
template <class T>
DEVICE_COLD void exact_values(
    In<T> x, Out<T> y, Coefficients coefficients, f32 limit, i64 first, i64 end, i64 count
) {
    for (i64 pack = first; pack < end; pack += THREADS * PACK<T>) {
        for (i32 k = 0; k < PACK<T>; ++k) {
            if (inside(pack + k, count)) {
                const f32 at = widen(x[pack + k]);
                if (!(magnitude(at) <= limit)) {
                    y[pack + k] = narrow<T>(static_cast<f32>(exact(coefficients, at).value));
                }
            }
        }
    }
}

// The most coefficients of a unit.
constexpr i32 COEFFICIENTS = 17;

// The same elements' gradients, and the terms they add to those of the coefficients: of a_k at `terms[k]`, of |b_k| at
// `terms[m + k]`.
template <class T>
DEVICE_COLD void exact_gradients(
    In<T> x, In<T> grad_y, Out<T> grad_x, Coefficients coefficients, f32 limit, i64 first, i64 end, i64 count,
    i32 m, Array<f32, COEFFICIENTS>& terms
) {
    for (i64 pack = first; pack < end; pack += THREADS * PACK<T>) {
        for (i32 i = 0; i < PACK<T>; ++i) {
            if (!inside(pack + i, count)) {
                continue;
            }
            const f32 at = widen(x[pack + i]);
            const f32 gradient = widen(grad_y[pack + i]);
            if (magnitude(at) <= limit) {
                continue;
            }
            // Its gradient is 0 already.
            if (gradient == 0.0f && is_finite(at)) {
                continue;
            }
            const Exact point = exact(coefficients, at);
            grad_x[pack + i] = narrow<T>(static_cast<f32>(static_cast<f64>(gradient) * point.derivative));
            add_exact_terms(coefficients, point, at < 0.0f, gradient, m, terms);
        }
    }
}

template <class T, i32 M, i32 N>
DEVICE void forward(In<T> x, Out<T> y, const Coefficients& coefficients, i64 count) {
    const Unit<M, N> unit = load_unit<M, N>(coefficients);
    const bool packed = is_aligned(x, 16) && is_aligned(y, 16);
    constexpr i32 SWEEP = THREADS * PACK<T>;
    const i64 stride = static_cast<i64>(grid_size()) * SWEEP * DEPTH;
    i64 base = static_cast<i64>(block_index()) * SWEEP * DEPTH;
    for (; base < count; base += stride) {  // harmless once more: every access is masked
        const i64 first = base + thread_index() * PACK<T>;
        Array<Pack<T, PACK<T>>, DEPTH> packs;
        UNROLL for (i32 i = 0; i < DEPTH; ++i) {
            packs[i] = read<T>(x, first + i * SWEEP, count, packed);
        }
        bool beyond = false;
        UNROLL for (i32 i = 0; i < DEPTH; ++i) {
            UNROLL for (i32 k = 0; k < PACK<T>; ++k) {
                const f32 at = widen(packs[i][k]);
                beyond = beyond || !(magnitude(at) <= unit.limit);
                packs[i][k] = narrow<T>(value(unit, at));
            }
            write<T>(y, first + i * SWEEP, count, packed, packs[i]);
        }
        if (beyond) {
            exact_values<T>(x, y, coefficients, unit.limit, first, base + SWEEP * DEPTH, count);
        }
    }
}

// `partials` is [M + 1 + N, grid_size()].
template <class T, i32 M, i32 N>
DEVICE void backward(
    In<T> x, In<T> grad_y, Out<T> grad_x, Out<f32> partials, const Coefficients& coefficients, i64 count
) {
    const Unit<M, N> unit = load_unit<M, N>(coefficients);
    const bool packed = is_aligned(x, 16) && is_aligned(grad_y, 16) && is_aligned(grad_x, 16);
    Array<f32, M + 1 + N> sums;
    UNROLL for (i32 k = 0; k < M + 1 + N; ++k) {
        sums[k] = 0.0f;
    }
    const i64 chunk = static_cast<i64>(block_index()) * CHUNK;
    const i64 own = chunk + thread_index() * PACK<T>;
    bool beyond = false;
    ROLLED for (i32 step = 0; step < CHUNK; step += THREADS * PACK<T>) {
        const Pack<T, PACK<T>> inputs = read<T>(x, own + step, count, packed);
        Pack<T, PACK<T>> gradients = read<T>(grad_y, own + step, count, packed);
        UNROLL for (i32 k = 0; k < PACK<T>; ++k) {
            f32 at = widen(inputs[k]);
            f32 gradient = widen(gradients[k]);
            // What is beyond the limit adds nothing here; its turn comes below.
            if (!(magnitude(at) <= unit.limit)) {
                beyond = true;
                at = 0.0f;
                gradient = 0.0f;
            }
            gradients[k] = narrow<T>(gradient_at(unit, at, gradient, sums));
        }
        write<T>(grad_x, own + step, count, packed, gradients);
    }
    constexpr i32 COUNT = M + 1 + N;
    if (beyond) {
        Array<f32, COEFFICIENTS> terms;
        for (i32 k = 0; k < COEFFICIENTS; ++k) {
            terms[k] = 0.0f;
        }
        exact_gradients<T>(x, grad_y, grad_x, coefficients, unit.limit, own, chunk + CHUNK, count, M, terms);
        UNROLL for (i32 k = 0; k < COUNT; ++k) {
            sums[k] += terms[k];
        }
    }

    SHARED(f32, of_warps, WARPS * COUNT);
    UNROLL for (i32 k = 0; k < COUNT; ++k) {
        const f32 sum = warp_sum(sums[k]);
        if (lane_index() == 0) {
            of_warps[warp_index() * COUNT + k] = sum;
        }
    }
    block_barrier();
    const i32 k = thread_index();
    if (inside(k, COUNT)) {
        f32 sum = 0.0f;
        for (i32 warp = 0; warp < WARPS; ++warp) {
            sum += of_warps[warp * COUNT + k];
        }
        partials[static_cast<i64>(k) * grid_size() + block_index()] = sum;
    }
}

}  // namespace pau

#define PAU(T, M, N)                                                                                                       \
    KERNEL(                                                                                                                \
        pau_forward_##T##_##M##_##N, pau::THREADS,                                                                         \
        (In<T> x, Out<T> y, In<f32> numerator, i32 numerators, In<f32> denominator, i32 denominators, i64 count)           \
    ) {                                                                                                                    \
        pau::forward<T, M, N>(x, y, {numerator, numerators, denominator, denominators}, count);                            \
    }                                                                                                                      \
    KERNEL(                                                                                                                \
        pau_backward_##T##_##M##_##N, pau::THREADS,                                                                        \
        (In<T> x, In<T> grad_y, Out<T> grad_x, Out<f32> partials, In<f32> numerator, i32 numerators, In<f32> denominator, \
         i32 denominators, i64 count)                                                                                      \
    ) {                                                                                                                    \
        pau::backward<T, M, N>(x, grad_y, grad_x, partials, {numerator, numerators, denominator, denominators}, count);    \
    }
#define PAU_OF_ORDER(M, N) PAU(f32, M, N) PAU(f16, M, N) PAU(bf16, M, N)

PAU_OF_ORDER(3, 3)
PAU_OF_ORDER(4, 4)
PAU_OF_ORDER(5, 4)
PAU_OF_ORDER(5, 5)
PAU_OF_ORDER(6, 6)
PAU_OF_ORDER(7, 7)
PAU_OF_ORDER(8, 8)

KERNEL(
    pau_gradients, pau::THREADS,
    (In<f32> partials, i32 blocks, i32 rows, In<f32> numerator, i32 numerators, In<f32> denominator, i32 denominators,
     Out<f32> grad_numerator, Out<f32> grad_denominator)
) {
    pade::gradients<pau::THREADS>(
        partials, blocks, rows, {numerator, numerators, denominator, denominators}, grad_numerator, grad_denominator
    );
}
