// The host version of the contract in `device.cuh`: every access goes through a handle that knows bounds and history, every
// barrier and shuffle through the scheduler of `host/`.
#pragma once

#include "../../host/memory.hpp"
#include "../../host/mma.hpp"
#include "../../host/numbers.hpp"
#include "../../host/registry.hpp"
#include "../../host/scheduler.hpp"

#define DEVICE static inline
#define DEVICE_COLD static
#define METHOD inline
#define UNROLL
#define ROLLED
#define SHARED(T, name, count) const Shared<T> name = host::shared_array<T>(count, __FILE__, __LINE__)
#define SHARED_DYNAMIC(T, name) const Shared<T> name = host::dynamic_shared_array<T>()
#define KERNEL(name, threads, parameters)                              \
    static void name parameters;                                       \
    static const host::Registration name##_registration(#name, threads, name); \
    static void name parameters

namespace device {

using host::bf16;
using host::f16;
using host::f32;
using host::f64;
using host::i16;
using host::i32;
using host::i64;
using host::i8;
using host::u16;
using host::u32;
using host::u64;
using host::u8;

template <class T>
using In = host::Memory<const T>;
template <class T>
using Out = host::Memory<T>;
template <class T>
using Shared = host::SharedMemory<T>;

template <class T, i32 N>
using Array = host::Array<T, N>;
template <class T, i32 N>
using Pack = host::Array<T, N>;

DEVICE i32 thread_index() { return host::here().thread; }
DEVICE i32 block_index() { return host::here().block; }
DEVICE i32 block_row() { return host::here().row; }
DEVICE i32 grid_size() { return host::here().grid; }
DEVICE void block_barrier(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    host::block_barrier({file, line});
}
DEVICE void warp_barrier(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    host::warp_barrier({file, line});
}

DEVICE void publish(const Out<u32>& counters, i64 index) { host::publish(counters.buffer(), counters.offset() + index); }
DEVICE void wait_for(
    const Out<u32>& counters, i64 index, i32 count, const char* file = __builtin_FILE(), int line = __builtin_LINE()
) {
    host::wait_for(counters.buffer(), counters.offset() + index, static_cast<u32>(count), {file, line});
}

template <class T>
DEVICE T shuffle_xor(T value, i32 lane_mask, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return host::exchange(value, {file, line}).from(host::here().lane() ^ lane_mask);
}
template <class T>
DEVICE T shuffle_down(T value, i32 distance, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    const i32 lane = host::here().lane();
    return host::exchange(value, {file, line}).from(lane + distance < 32 ? lane + distance : lane);
}
template <class T>
DEVICE T shuffle(T value, i32 lane, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return host::exchange(value, {file, line}).from(lane % 32);
}

DEVICE bool inside(i64 index, i64 count) { return index < count; }
template <class T>
DEVICE bool is_aligned(const host::Memory<T>& memory, i32 bytes) {
    return memory.address() % static_cast<u64>(bytes) == 0;
}
template <i32 N, class T>
DEVICE Pack<std::remove_const_t<T>, N> load_pack(const host::Memory<T>& memory, i64 index) {
    return memory.template load<N>(index, host::Through::ReadOnly);
}
template <class T>
DEVICE Pack<std::remove_const_t<T>, 16 / static_cast<i32>(sizeof(T))> load_fresh(const host::Memory<T>& memory, i64 index) {
    return memory.template load<16 / static_cast<i32>(sizeof(T))>(index, host::Through::Nothing);
}
template <i32 N, class T>
DEVICE Pack<T, N> load_shared(const host::SharedMemory<T>& memory, i64 index) {
    return memory.template load<N>(index, host::Through::OwnCache);
}
template <i32 N, class T>
DEVICE void store_pack(const host::Memory<T>& memory, i64 index, const Pack<T, N>& pack) {
    memory.template store<N>(index, pack);
}

template <class T, i32 N>
DEVICE Array<u32, N * static_cast<i32>(sizeof(T)) / 4> words(const Pack<T, N>& pack) {
    return host::bits_as<Array<u32, N * static_cast<i32>(sizeof(T)) / 4>>(pack);
}

DEVICE f32 fused(f32 a, f32 b, f32 c) { return std::fma(a, b, c); }
DEVICE f64 fused(f64 a, f64 b, f64 c) { return std::fma(a, b, c); }
// As the approximate instruction, it gives 0 where the result would be subnormal.
DEVICE f32 reciprocal(f32 x) { return std::fabs(x) > 0x1p126f ? std::copysign(0.0f, x) : 1.0f / x; }
DEVICE f32 magnitude(f32 x) { return std::fabs(x); }
DEVICE f64 magnitude(f64 x) { return std::fabs(x); }
DEVICE f32 with_sign(f32 size, f32 sign) { return std::copysign(size, sign); }
DEVICE f32 least(f32 a, f32 b) { return std::fmin(a, b); }
DEVICE f32 largest(f32 a, f32 b) { return std::fmax(a, b); }
DEVICE f32 square_root(f32 x) { return std::sqrt(x); }
DEVICE f64 square_root(f64 x) { return std::sqrt(x); }
DEVICE f64 cosine_of_pi(f64 x) { return std::cos(std::acos(-1.0) * x); }
DEVICE f32 natural_logarithm(f32 x) { return std::log(x); }
DEVICE f32 binary_logarithm(f32 x) { return std::log2(x); }
DEVICE f32 round_down(f32 x) { return std::floor(x); }
DEVICE f32 power_of_two(i32 k) { return std::ldexp(1.0f, k); }
DEVICE bool is_finite(f32 x) { return std::isfinite(x); }
DEVICE f32 not_a_number() { return std::numeric_limits<f32>::quiet_NaN(); }
DEVICE i32 nearest(f32 x) { return static_cast<i32>(std::nearbyint(x)); }
DEVICE f32 exponential(f32 x) { return std::exp(x); }
DEVICE f32 error_function(f32 x) { return std::erf(x); }

using host::widen;
template <class T>
DEVICE T narrow(f32 x) {
    return host::rounded<T>(x);
}

DEVICE void mma_s8(
    Array<i32, 4>& d, const Array<u32, 4>& a, const Array<u32, 2>& b, const char* file = __builtin_FILE(),
    int line = __builtin_LINE()
) {
    host::mma<host::Bytes>(d, a, b, {file, line});
}
DEVICE void mma_f16(
    Array<f32, 4>& d, const Array<u32, 4>& a, const Array<u32, 2>& b, const char* file = __builtin_FILE(),
    int line = __builtin_LINE()
) {
    host::mma<host::Halves<f16>>(d, a, b, {file, line});
}
DEVICE void mma_bf16(
    Array<f32, 4>& d, const Array<u32, 4>& a, const Array<u32, 2>& b, const char* file = __builtin_FILE(),
    int line = __builtin_LINE()
) {
    host::mma<host::Halves<bf16>>(d, a, b, {file, line});
}

}  // namespace device
