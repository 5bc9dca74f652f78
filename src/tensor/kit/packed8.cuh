// Neighbouring elements of a row, 16 bytes of bfloat16 at a time: what one thread loads, computes
// in float32, rounds and stores. The one place that knows how bfloat16 lies in memory; kernels that
// only move it call it by its bits, uint16_t.
#pragma once

#include <cuda_bf16.h>

#include <cstdint>

#include "tensor/kit/element_type.h"

namespace lococo {

/// Eight elements as they lie in memory, in 16-byte words: one of bfloat16, two of float32.
template <typename T>
struct alignas(16) Packed8 {
  uint4 words[sizeof(T) / 2];
};

/// `from` and `to` of the functions below are multiples of 16 bytes.
template <typename T>
__device__ inline Packed8<T> load8(const T* from) {
  return *reinterpret_cast<const Packed8<T>*>(from);
}

template <typename T>
__device__ inline void store8(T* to, const Packed8<T>& packed) {
  *reinterpret_cast<Packed8<T>*>(to) = packed;
}

/// A bfloat16 is the upper half of a float32.
__device__ inline void unpack2(unsigned pair, float& low, float& high) {
  low = __uint_as_float(pair << 16);
  high = __uint_as_float(pair & 0xffff0000U);
}

__device__ inline void unpack4(uint2 pairs, float (&values)[4]) {
  unpack2(pairs.x, values[0], values[1]);
  unpack2(pairs.y, values[2], values[3]);
}

__device__ inline void unpack8(uint4 packed, float (&values)[8]) {
  const unsigned pairs[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) unpack2(pairs[i], values[2 * i], values[2 * i + 1]);
}

__device__ inline void unpack8(const Packed8<uint16_t>& packed, float (&values)[8]) {
  unpack8(packed.words[0], values);
}

__device__ inline void unpack8(const Packed8<__nv_bfloat16>& packed, float (&values)[8]) {
  unpack8(packed.words[0], values);
}

__device__ inline void unpack8(const Packed8<float>& packed, float (&values)[8]) {
  for (int i = 0; i < 2; ++i) {
    values[4 * i] = __uint_as_float(packed.words[i].x);
    values[4 * i + 1] = __uint_as_float(packed.words[i].y);
    values[4 * i + 2] = __uint_as_float(packed.words[i].z);
    values[4 * i + 3] = __uint_as_float(packed.words[i].w);
  }
}

/// Each to the nearest bfloat16, ties to even.
__device__ inline unsigned pack2(float low, float high) {
  return static_cast<unsigned>(__bfloat16_as_ushort(__float2bfloat16_rn(low))) |
         static_cast<unsigned>(__bfloat16_as_ushort(__float2bfloat16_rn(high))) << 16;
}

__device__ inline uint4 pack8(const float (&values)[8]) {
  return make_uint4(pack2(values[0], values[1]), pack2(values[2], values[3]),
                    pack2(values[4], values[5]), pack2(values[6], values[7]));
}

__device__ inline void store8(float* to, const float (&values)[8]) {
  auto* words = reinterpret_cast<float4*>(to);
  words[0] = make_float4(values[0], values[1], values[2], values[3]);
  words[1] = make_float4(values[4], values[5], values[6], values[7]);
}

__device__ inline void store8(uint16_t* to, const float (&values)[8]) {
  *reinterpret_cast<uint4*>(to) = pack8(values);
}

__device__ inline void store8(__nv_bfloat16* to, const float (&values)[8]) {
  *reinterpret_cast<uint4*>(to) = pack8(values);
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
