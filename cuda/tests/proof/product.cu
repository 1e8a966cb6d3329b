// One warp's product of tiles from shared memory, by itself: d [16, 8] = a [16, depth] · b [8, depth]ᵀ.
#include "product.cuh"

// Rows in shared memory are this much longer than the depth, at most.
constexpr i32 MOST = 64 + 16;

#define PRODUCT(T, S)                                                                                  \
    KERNEL(product_##T, 32, (In<T> a, In<T> b, Out<S> d, i32 depth, i32 a_stride, i32 b_stride)) {     \
        tiles<T, S>(a, b, d, depth, a_stride, b_stride);                                               \
    }

template <class T, class S>
DEVICE void tiles(In<T> a, In<T> b, Out<S> d, i32 depth, i32 a_stride, i32 b_stride) {
    SHARED(T, rows, 16 * MOST);
    SHARED(T, columns, 8 * MOST);
    for (i32 i = lane_index(); i < 16 * depth; i += WARP) {
        rows[i / depth * a_stride + i % depth] = a[i];
    }
    for (i32 i = lane_index(); i < 8 * depth; i += WARP) {
        columns[i / depth * b_stride + i % depth] = b[i];
    }
    warp_barrier();
    typename Tile<T>::Accumulator sums = {};
    product<T>(sums, rows, a_stride, columns, b_stride, depth);
    const i32 first = lane_index() / 4 * 8 + lane_index() % 4 * 2;
    UNROLL for (i32 i = 0; i < 4; ++i) {
        d[first + i / 2 * 64 + i % 2] = sums[i];
    }
}

PRODUCT(f32, f32)
PRODUCT(f16, f32)
PRODUCT(bf16, f32)
PRODUCT(i8, i32)
