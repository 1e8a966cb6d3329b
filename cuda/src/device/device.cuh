// What a kernel may use of a device. This header, with its two versions, is the only place where device primitives are named:
// the same `.cu` file compiles to machine code with `gpu.cuh` and to a host program with `host.cuh`, which checks what a
// GPU would not: bounds, alignment, uninitialized reads, races between barriers, barriers and shuffles that some thread never
// reaches. `cuda/README.md` says how the checks are themselves checked.
//
// Contract of both versions:
//   f16 f32 f64 bf16 i8 i16 i32 i64 u8 u16 u32 u64   numbers; f16 and bf16 only convert: widen(h), narrow<f16>(x)
//   In<T>, Out<T>                 device memory, read with p[i], written with p[i] = v; p + i moves on
//   Pack<T, N>                    N elements that travel as one access of 4, 8 or 16 bytes: load_pack (device memory), load_shared,
//                                 store_pack (either), is_aligned; words(pack) are its bits
//   load_fresh(p, i)              a pack of 16 bytes that another block of the launch may have written; everything else may be cached
//   Array<T, N>                   registers; kernels declare no C arrays, so every [ in them is an access that is checked
//   SHARED(T, name, count)        shared memory of a size known when compiling, from a multiple of 16 bytes on; passed on as Shared<T>
//   SHARED_DYNAMIC(T, name)       shared memory of the size given at the launch, at most one per kernel
//   thread_index() block_index() block_row() grid_size()   positions; lane_index(), warp_index()
//   block_barrier() warp_barrier()                         every thread of the block, of the warp
//   publish(counters, i)          adds 1 to a counter; whoever waits for that sees what the block did before its last barrier
//   wait_for(counters, i, count)  waits for a counter, in launches that run all blocks at once; the block sees what was published
//                                 there after its next barrier. Both by one thread of a block; counters are zeroed by an earlier launch
//   shuffle_xor(v, m) shuffle_down(v, d) shuffle(v, lane)  among all 32 lanes
//   inside(i, count)              i < count: every bounds mask is written with it
//   fused(a, b, c) reciprocal magnitude with_sign …        arithmetic
//   mma_s8 mma_f16 mma_bf16       tensor-core products of one warp
//   KERNEL(name, threads, (parameters)) { … }              an entry point
#pragma once

#ifdef __CUDACC__
#include "gpu.cuh"
#else
#include "host.cuh"
#endif

namespace device {

constexpr i32 WARP = 32;

// Elements of T in one access of 16 bytes.
template <class T>
constexpr i32 PACK = 16 / static_cast<i32>(sizeof(T));

DEVICE i32 lane_index() { return thread_index() % WARP; }
DEVICE i32 warp_index() { return thread_index() / WARP; }

// Sum over the lanes of a warp, in every lane; the order of additions is fixed.
template <class T>
DEVICE T warp_sum(T value) {
    for (i32 offset = WARP / 2; offset > 0; offset /= 2) {
        value += shuffle_xor(value, offset);
    }
    return value;
}

// Smallest value among the lanes of a warp, in every lane.
DEVICE f32 warp_least(f32 value) {
    for (i32 offset = WARP / 2; offset > 0; offset /= 2) {
        value = least(value, shuffle_xor(value, offset));
    }
    return value;
}

}  // namespace device

using namespace device;
