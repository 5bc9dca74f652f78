// The warp-wide instructions of tensor cores and of asynchronous copies (PTX, sm_80 and later).
// Every lane of a warp calls each of them together.
#pragma once

#include <cstdint>

#include "tensor/kit/shared_address.cuh"

namespace lococo {

/// Starts a copy of 16 bytes from global to shared memory, both 16-byte aligned; zeros instead of
/// them unless `valid` (`global` must be a legal address all the same).
__device__ inline void copy_async_16(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(shared)),
               "l"(global), "r"(valid ? 16 : 0)
               : "memory");
}

/// Waits until all of this thread's copies have landed; a barrier shows them to other threads.
__device__ inline void wait_copies() { asm volatile("cp.async.wait_all;\n" ::: "memory"); }

/// Four 8 x 8 matrices of 16-bit elements: lane i gives the address of row i % 8 of matrix i / 8
/// and gets, of each matrix m, elements 2 (i % 4) and the next of row i / 4 in matrix[m].
__device__ inline void load_matrices(uint32_t (&matrix)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(matrix[0]), "=r"(matrix[1]), "=r"(matrix[2]), "=r"(matrix[3])
               : "r"(shared_address(row))
               : "memory");
}

/// sum [16, 8] += a [16, 16] b [16, 8] of bfloat16. With g = lane / 4 and c = 2 (lane % 4), a lane
/// holds of a the elements (g, c), (g + 8, c), (g, c + 8), (g + 8, c + 8) and each one's right
/// neighbour; of b (c, g), (c + 8, g) and each one's lower neighbour; of sum (g, c), (g, c + 1),
/// (g + 8, c), (g + 8, c + 1).
__device__ inline void multiply_add(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0,
                                    uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// The same of float16.
__device__ inline void multiply_add_half(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0,
                                         uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};\n"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// 2^x, two units in the last place.
__device__ inline float fast_exp2(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(result) : "f"(x));
  return result;
}

}  // namespace lococo
