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

// Blocks that wait for one another: the first hands its elements of `out` to the second. `counters` are zeros.
#define WAITING(name) KERNEL(name, 64, (In<f32> in, Out<f32> out, Out<u32> counters))

DEVICE void hand_on(const In<f32>& in, const Out<f32>& out) {
    out[block_index() * 64 + thread_index()] = in[thread_index()];
    block_barrier();
}
DEVICE void take_over(const Out<f32>& out, i32 from) {
    const i32 at = thread_index() / 4 * 4;
    const f32 value = load_fresh(out, from * 64 + at)[thread_index() % 4];
    out[block_index() * 64 + thread_index()] = value;
}

DEVICE void tell(const Out<u32>& counters) {
    if (thread_index() == 0) {
        publish(counters, 0);
    }
}
DEVICE void hear(const Out<u32>& counters) {
    if (thread_index() == 0) {
        wait_for(counters, 0, 1);
    }
}

WAITING(handed_on) {
    if (block_index() == 0) {
        hand_on(in, out);
        tell(counters);
    } else {
        hear(counters);
        block_barrier();
        take_over(out, 0);
    }
}
WAITING(never_handed_on) {
    if (block_index() == 0) {
        hand_on(in, out);
    } else {
        hear(counters);
        block_barrier();
        take_over(out, 0);
    }
}
WAITING(not_waited_for) {
    if (block_index() == 0) {
        hand_on(in, out);
        tell(counters);
    } else {
        take_over(out, 0);
    }
}
WAITING(handed_on_too_early) {
    if (block_index() == 0) {
        tell(counters);
        hand_on(in, out);
    } else {
        hear(counters);
        block_barrier();
        take_over(out, 0);
    }
}
WAITING(no_barrier_behind_the_wait) {
    if (block_index() == 0) {
        hand_on(in, out);
        tell(counters);
    } else {
        hear(counters);
        take_over(out, 0);
    }
}
// The first block writes over what the second one reads, behind barriers of its own.
WAITING(overwritten_too_early) {
    if (block_index() == 0) {
        hand_on(in, out);
        tell(counters);
        const f32 value = out[63 - thread_index()];
        block_barrier();
        out[thread_index()] = value;
    } else {
        hear(counters);
        block_barrier();
        take_over(out, 0);
    }
}
WAITING(counter_of_the_same_launch) {
    if (thread_index() == 0) {
        counters[0] = 0;
        publish(counters, 0);
    }
}
WAITING(read_from_a_cache) {
    if (block_index() == 0) {
        hand_on(in, out);
        tell(counters);
    } else {
        hear(counters);
        block_barrier();
        const f32 value = out[thread_index()];
        out[64 + thread_index()] = value;
    }
}
