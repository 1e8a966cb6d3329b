// The device version of the contract in `device.cuh`. It needs no header of the CUDA toolkit.
#pragma once

#define DEVICE static __device__ __forceinline__
#define DEVICE_COLD static __device__ __noinline__
#define METHOD __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define ROLLED _Pragma("unroll 1")
#define SHARED(T, name, count) __shared__ __align__(16) T name[count]
#define SHARED_DYNAMIC(T, name) \
    extern __shared__ __align__(16) unsigned char name##_bytes[]; \
    T* const name = reinterpret_cast<T*>(name##_bytes)
#define KERNEL(name, threads, parameters) extern "C" __global__ void __launch_bounds__(threads) name parameters

namespace device {

using i8 = signed char;
using u8 = unsigned char;
using i16 = short;
using u16 = unsigned short;
using i32 = int;
using u32 = unsigned int;
using i64 = long long;
using u64 = unsigned long long;
using f32 = float;
using f64 = double;
struct f16 {
    u16 bits;
};
struct bf16 {
    u16 bits;
};

template <class T>
using In = const T* __restrict__;
template <class T>
using Out = T* __restrict__;
template <class T>
using Shared = T*;

template <class T, i32 N>
struct Array {
    T elements[N];
    METHOD T& operator[](i32 index) { return elements[index]; }
    METHOD const T& operator[](i32 index) const { return elements[index]; }
};

template <class T, i32 N>
struct alignas(sizeof(T) * N) Pack {
    T elements[N];
    METHOD T& operator[](i32 index) { return elements[index]; }
    METHOD const T& operator[](i32 index) const { return elements[index]; }
};

DEVICE i32 thread_index() { return static_cast<i32>(threadIdx.x); }
DEVICE i32 block_index() { return static_cast<i32>(blockIdx.x); }
DEVICE i32 block_row() { return static_cast<i32>(blockIdx.y); }
DEVICE i32 grid_size() { return static_cast<i32>(gridDim.x); }
DEVICE void block_barrier() { __syncthreads(); }
DEVICE void warp_barrier() { __syncwarp(); }

// The fence orders what the block did before its barrier, too, since barriers and fences add up (PTX's memory consistency model).
DEVICE void publish(u32* counters, i64 index) {
    asm volatile("fence.acq_rel.gpu;\n\tred.relaxed.gpu.global.add.u32 [%0], 1;" ::"l"(counters + index) : "memory");
}
DEVICE void wait_for(u32* counters, i64 index, i32 count) {
    u32 seen;
    do {
        asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(counters + index) : "memory");
    } while (seen < static_cast<u32>(count));
}

template <class T>
DEVICE T shuffle_xor(T value, i32 lane_mask) {
    return __shfl_xor_sync(0xffffffffu, value, lane_mask);
}
template <class T>
DEVICE T shuffle_down(T value, i32 distance) {
    return __shfl_down_sync(0xffffffffu, value, static_cast<u32>(distance));
}
template <class T>
DEVICE T shuffle(T value, i32 lane) {
    return __shfl_sync(0xffffffffu, value, lane);
}

DEVICE bool inside(i64 index, i64 count) { return index < count; }

template <class T>
DEVICE bool is_aligned(const T* memory, i32 bytes) {
    return reinterpret_cast<u64>(memory) % static_cast<u64>(bytes) == 0;
}

// What one access of so many bytes moves.
template <i32 BYTES>
struct Access;
template <>
struct Access<4> {
    using Bits = unsigned int;
};
template <>
struct Access<8> {
    using Bits = uint2;
};
template <>
struct Access<16> {
    using Bits = uint4;
};
template <class T, i32 N>
using BitsOf = typename Access<static_cast<i32>(sizeof(T)) * N>::Bits;

template <i32 N, class T>
DEVICE Pack<T, N> load_pack(const T* memory, i64 index) {
    const BitsOf<T, N> bits = __ldg(reinterpret_cast<const BitsOf<T, N>*>(memory + index));
    return *reinterpret_cast<const Pack<T, N>*>(&bits);
}
// From the L2 cache: those of a multiprocessor may hold what was there before.
template <class T>
DEVICE Pack<T, 16 / static_cast<i32>(sizeof(T))> load_fresh(T* memory, i64 index) {
    uint4 bits;
    asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(bits.x), "=r"(bits.y), "=r"(bits.z), "=r"(bits.w)
                 : "l"(memory + index)
                 : "memory");
    return *reinterpret_cast<const Pack<T, 16 / static_cast<i32>(sizeof(T))>*>(&bits);
}
template <i32 N, class T>
DEVICE Pack<T, N> load_shared(const T* memory, i32 index) {
    const BitsOf<T, N> bits = *reinterpret_cast<const BitsOf<T, N>*>(memory + index);
    return *reinterpret_cast<const Pack<T, N>*>(&bits);
}
template <i32 N, class T>
DEVICE void store_pack(T* memory, i64 index, const Pack<T, N>& pack) {
    *reinterpret_cast<BitsOf<T, N>*>(memory + index) = *reinterpret_cast<const BitsOf<T, N>*>(&pack);
}
template <class T, i32 N>
DEVICE Array<u32, N * static_cast<i32>(sizeof(T)) / 4> words(const Pack<T, N>& pack) {
    return *reinterpret_cast<const Array<u32, N * static_cast<i32>(sizeof(T)) / 4>*>(&pack);
}

DEVICE f32 fused(f32 a, f32 b, f32 c) { return __fmaf_rn(a, b, c); }
DEVICE f64 fused(f64 a, f64 b, f64 c) { return __fma_rn(a, b, c); }
// Within 1 ulp for 2^-126 ≤ |x| ≤ 2^126.
DEVICE f32 reciprocal(f32 x) {
    f32 result;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}
DEVICE f32 magnitude(f32 x) { return fabsf(x); }
DEVICE f64 magnitude(f64 x) { return fabs(x); }
DEVICE f32 with_sign(f32 size, f32 sign) { return copysignf(size, sign); }
DEVICE f32 least(f32 a, f32 b) { return fminf(a, b); }
DEVICE f32 largest(f32 a, f32 b) { return fmaxf(a, b); }
DEVICE f32 square_root(f32 x) { return __fsqrt_rn(x); }
DEVICE f64 square_root(f64 x) { return __dsqrt_rn(x); }
// cos(πx).
DEVICE f64 cosine_of_pi(f64 x) { return cospi(x); }
DEVICE f32 natural_logarithm(f32 x) { return logf(x); }
DEVICE f32 binary_logarithm(f32 x) { return __log2f(x); }
DEVICE f32 round_down(f32 x) { return floorf(x); }
// 2^k for a whole k from -126 to 127.
DEVICE f32 power_of_two(i32 k) { return __int_as_float((k + 127) << 23); }
DEVICE bool is_finite(f32 x) { return fabsf(x) <= 3.402823466e38f; }
DEVICE f32 not_a_number() { return __int_as_float(0x7fc00000); }
// To the nearest whole number, ties to the even one, for |x| < 2^31.
DEVICE i32 nearest(f32 x) { return __float2int_rn(x); }
DEVICE f32 exponential(f32 x) { return expf(x); }
DEVICE f32 error_function(f32 x) { return erff(x); }

DEVICE f32 widen(f32 x) { return x; }
DEVICE f32 widen(f16 x) {
    f32 result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(x.bits));
    return result;
}
DEVICE f32 widen(bf16 x) { return __int_as_float(static_cast<i32>(x.bits) << 16); }
template <class T>
DEVICE T narrow(f32 x);
template <>
__device__ __forceinline__ f32 narrow<f32>(f32 x) {
    return x;
}
template <>
__device__ __forceinline__ f16 narrow<f16>(f32 x) {
    f16 result;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(x));
    return result;
}
template <>
__device__ __forceinline__ bf16 narrow<bf16>(f32 x) {
    bf16 result;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(x));
    return result;
}

// D += A · B for one warp: A is 16 × 32, B 32 × 8, D 16 × 8. Lane l holds in group g = l / 4 and place t = l % 4
// a: rows g, g + 8, g, g + 8, columns 4t + (0…3), the last two 16 further on; b: column g, rows 4t + (0…3), then 16 further on;
// d: row g, columns 2t, 2t + 1, then row g + 8.
DEVICE void mma_s8(Array<i32, 4>& d, const Array<u32, 4>& a, const Array<u32, 2>& b) {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// The same with A 16 × 16, B 16 × 8: a register holds two halves, columns 2t and 2t + 1, 8 instead of 16 further on.
DEVICE void mma_f16(Array<f32, 4>& d, const Array<u32, 4>& a, const Array<u32, 2>& b) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
DEVICE void mma_bf16(Array<f32, 4>& d, const Array<u32, 4>& a, const Array<u32, 2>& b) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace device
