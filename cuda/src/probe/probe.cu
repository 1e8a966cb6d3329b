// One warp's tensor-core products and shuffles by themselves. On the host they hold the emulation to the definition, on a GPU the
// hardware to both.
#include "device.cuh"

namespace probe {

// Registers of A, B and D as each lane holds them: `a` is [32, 4], `b` [32, 2], `d` [32, 4].
template <class Sum, class Product>
DEVICE void product(In<u32> a, In<u32> b, Out<Sum> d, Product multiply) {
    Array<u32, 4> rows;
    Array<u32, 2> columns;
    Array<Sum, 4> sums;
    UNROLL for (i32 i = 0; i < 4; ++i) {
        rows[i] = a[4 * lane_index() + i];
        sums[i] = d[4 * lane_index() + i];
    }
    UNROLL for (i32 i = 0; i < 2; ++i) {
        columns[i] = b[2 * lane_index() + i];
    }
    multiply(sums, rows, columns);
    UNROLL for (i32 i = 0; i < 4; ++i) {
        d[4 * lane_index() + i] = sums[i];
    }
}

struct S8 {
    METHOD void operator()(Array<i32, 4>& d, const Array<u32, 4>& a, const Array<u32, 2>& b) const { mma_s8(d, a, b); }
};
struct F16 {
    METHOD void operator()(Array<f32, 4>& d, const Array<u32, 4>& a, const Array<u32, 2>& b) const { mma_f16(d, a, b); }
};
struct Bf16 {
    METHOD void operator()(Array<f32, 4>& d, const Array<u32, 4>& a, const Array<u32, 2>& b) const { mma_bf16(d, a, b); }
};

}  // namespace probe

KERNEL(probe_mma_s8, 32, (In<u32> a, In<u32> b, Out<i32> d)) { probe::product(a, b, d, probe::S8()); }
KERNEL(probe_mma_f16, 32, (In<u32> a, In<u32> b, Out<f32> d)) { probe::product(a, b, d, probe::F16()); }
KERNEL(probe_mma_bf16, 32, (In<u32> a, In<u32> b, Out<f32> d)) { probe::product(a, b, d, probe::Bf16()); }

// `out` is [2, 128]: `in` read backwards through dynamic shared memory, and each lane's value shifted down by 3 within its warp.
KERNEL(probe_exchange, 128, (In<f32> in, Out<f32> out)) {
    SHARED_DYNAMIC(f32, reversed);
    reversed[127 - thread_index()] = in[thread_index()];
    block_barrier();
    const f32 value = reversed[thread_index()];
    out[thread_index()] = value;
    out[128 + thread_index()] = shuffle_down(value, 3);
}
