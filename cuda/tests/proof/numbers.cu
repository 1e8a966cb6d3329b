// Conversions of 16-bit numbers, one element a thread.
#include "device.cuh"

KERNEL(
    numbers, 256,
    (In<u16> patterns, In<f32> values, Out<f32> wide_f16, Out<f32> wide_bf16, Out<u16> to_f16, Out<u16> to_bf16)
) {
    const i32 i = block_index() * 256 + thread_index();
    wide_f16[i] = widen(f16{patterns[i]});
    wide_bf16[i] = widen(bf16{patterns[i]});
    to_f16[i] = narrow<f16>(values[i]).bits;
    to_bf16[i] = narrow<bf16>(values[i]).bits;
}
