// Kernels that each do one thing a kernel must not, for the tests that the host build says so. Blocks of 64 threads; `in` and `out` have
// 64 elements.
#include "device.cuh"

#define FAULTY(name) KERNEL(name, 64, (In<f32> in, Out<f32> out))

FAULTY(nothing) { out[thread_index()] = in[thread_index()]; }
FAULTY(read_beyond) { out[thread_index()] = in[thread_index() + 1]; }
FAULTY(write_beyond) { out[thread_index() + 1] = 1.0f; }
FAULTY(write_before) { out[thread_index() - 1] = 1.0f; }
FAULTY(read_unwritten) { out[thread_index()] = out[63 - thread_index()]; }
FAULTY(odd_pack) {
    if (thread_index() == 0) {
        store_pack<4>(out, 1, load_pack<4>(in, 1));
    }
}
FAULTY(register_beyond) {
    Array<f32, 4> registers;
    registers[thread_index()] = in[0];
    out[thread_index()] = registers[0];
}
FAULTY(two_writers) { out[thread_index() / 2] = in[thread_index()]; }
FAULTY(two_blocks) { out[thread_index()] = in[thread_index()]; }
FAULTY(no_barrier) {
    SHARED(f32, values, 64);
    values[thread_index()] = in[thread_index()];
    out[thread_index()] = values[63 - thread_index()];
}
FAULTY(no_second_barrier) {
    SHARED(f32, values, 64);
    values[thread_index()] = in[thread_index()];
    block_barrier();
    const f32 value = values[63 - thread_index()];
    values[thread_index()] = value;
    out[thread_index()] = value;
}
FAULTY(no_warp_barrier) {
    SHARED(f32, values, 64);
    values[thread_index()] = in[thread_index()];
    out[thread_index()] = values[thread_index() ^ 1];
}
FAULTY(warp_barrier_between_warps) {
    SHARED(f32, values, 64);
    values[thread_index()] = in[thread_index()];
    warp_barrier();
    out[thread_index()] = values[thread_index() ^ 32];
}
FAULTY(warp_barrier_within_a_warp) {
    SHARED(f32, values, 64);
    values[thread_index()] = in[thread_index()];
    warp_barrier();
    out[thread_index()] = values[thread_index() ^ 1];
}
FAULTY(shared_unwritten) {
    SHARED(f32, values, 65);
    values[thread_index()] = in[thread_index()];
    block_barrier();
    out[thread_index()] = values[thread_index() + 1];
}
FAULTY(barrier_of_some) {
    if (thread_index() < 40) {
        block_barrier();
    }
    out[thread_index()] = 1.0f;
}
FAULTY(barriers_of_two_places) {
    if (thread_index() < 32) {
        block_barrier();
    } else {
        block_barrier();
    }
    out[thread_index()] = 1.0f;
}
FAULTY(shuffle_of_some) {
    f32 value = in[thread_index()];
    if (thread_index() % 32 != 5) {
        value = shuffle_xor(value, 1);
    }
    out[thread_index()] = value;
}
