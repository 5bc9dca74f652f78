// Eight neighbouring elements of a row: what one thread of the elementwise kernels loads, computes
// in float32 and stores at a time. Addresses must be multiples of 16 bytes.
#pragma once

#include <cuda_bf16.h>

#include "tensor/kit/element_type.h"

namespace lococo {

/// As they lie in memory, in 16-byte words: one of bfloat16, two of float32.
template <typename T>
struct alignas(16) Packed8 {
  uint4 words[sizeof(T) / 2];
};

template <typename T>
__device__ inline Packed8<T> load8(const T* from) {
  return *reinterpret_cast<const Packed8<T>*>(from);
}

__device__ inline void unpack8(const Packed8<float>& packed, float (&values)[8]) {
  for (int i = 0; i < 2; ++i) {
    values[4 * i] = __uint_as_float(packed.words[i].x);
    values[4 * i + 1] = __uint_as_float(packed.words[i].y);
    values[4 * i + 2] = __uint_as_float(packed.words[i].z);
    values[4 * i + 3] = __uint_as_float(packed.words[i].w);
  }
}

/// A bfloat16 is the upper half of a float32.
__device__ inline void unpack8(const Packed8<__nv_bfloat16>& packed, float (&values)[8]) {
  const unsigned pairs[4] = {packed.words[0].x, packed.words[0].y, packed.words[0].z,
                             packed.words[0].w};
  for (int i = 0; i < 4; ++i) {
    values[2 * i] = __uint_as_float(pairs[i] << 16);
    values[2 * i + 1] = __uint_as_float(pairs[i] & 0xffff0000U);
  }
}

__device__ inline void store8(float* to, const float (&values)[8]) {
  auto* words = reinterpret_cast<float4*>(to);
  words[0] = make_float4(values[0], values[1], values[2], values[3]);
  words[1] = make_float4(values[4], values[5], values[6], values[7]);
}

__device__ inline unsigned bfloat16_pair(float low, float high) {
  return static_cast<unsigned>(__bfloat16_as_ushort(__float2bfloat16_rn(low))) |
         static_cast<unsigned>(__bfloat16_as_ushort(__float2bfloat16_rn(high))) << 16;
}

__device__ inline void store8(__nv_bfloat16* to, const float (&values)[8]) {
  *reinterpret_cast<uint4*>(to) =
      make_uint4(bfloat16_pair(values[0], values[1]), bfloat16_pair(values[2], values[3]),
                 bfloat16_pair(values[4], values[5]), bfloat16_pair(values[6], values[7]));
}

__device__ inline float widen(float value) { return value; }
__device__ inline float widen(__nv_bfloat16 value) { return __bfloat162float(value); }

/// To the nearest T, ties to even, as torch rounds.
template <typename T>
__device__ inline T round_to(float value) {
  if constexpr (sizeof(T) == 2) {
    return __float2bfloat16_rn(value);
  } else {
    return value;
  }
}

}  // namespace lococo
