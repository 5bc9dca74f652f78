// What the forms of a frozen matrix in skinny_frozen_kernel.cu have in common. A form says where
// the two rows of a lane lie, g and g + 8 of a tile; what a batch of their codes is; and how it is
// added to a warp's sums of a tile.
#pragma once

#include <cuda_runtime.h>

#include "tensor/layers/skinny_frozen_kernel.h"

namespace lococo {

constexpr int kSkinnyFrozenWarps = 8;
constexpr int kNf4Pairs = 256;   // a byte of NF4 is two values
constexpr int kNf4Offsets = 16;  // bytes of shared memory

/// Codes are read once: they should not push anything else out of the caches.
__device__ inline uint4 load_once(const uint4* from) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(from));
  return value;
}

__device__ inline uint2 load_once(const uint2* from) {
  uint2 value;
  asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];"
               : "=r"(value.x), "=r"(value.y)
               : "l"(from));
  return value;
}

/// The tables of a form, where shared memory begins. FP8 has none.
struct SkinnyTables {
  float* tree;      ///< nf4: [256]
  float* offsets;   ///< nf4: one of each matrix
  unsigned* pairs;  ///< nf4: [256, 32 or 64], for each lane a copy in a bank of its own

  __device__ explicit SkinnyTables(uint4* memory)
      : tree(reinterpret_cast<float*>(memory)),
        offsets(tree + kNf4Pairs),
        pairs(reinterpret_cast<unsigned*>(offsets + kNf4Offsets / 4)) {}
};

/// add(i) for the steps of a batch that are inside the row. Without branches between them, unless
/// it is the last of a row, steps overlap.
template <int kSteps, typename Add>
__device__ inline void for_steps(int first, int steps, Add add) {
  if (first + kSteps <= steps) {
#pragma unroll
    for (int i = 0; i < kSteps; ++i) add(i);
  } else {
#pragma unroll
    for (int i = 0; i < kSteps; ++i)
      if (first + i < steps) add(i);  // for the whole warp
  }
}

/// `to` = `from`, which begins again from zero.
__device__ inline void move_sums(float (&to)[4], float (&from)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    to[i] = from[i];
    from[i] = 0.0F;
  }
}

}  // namespace lococo
