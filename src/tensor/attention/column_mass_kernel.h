// The CUDA kernel behind column_mass(): raw pointers and a stream, so that the .cu sees no torch
// header.
#pragma once

#include <cstdint>

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

/// q [B, H, L, D] and k [B, G, S, D] are bfloat16 with a last stride of 1; their pointers are
/// 16-byte aligned and their other strides (in elements) multiples of 8. The rest is contiguous
/// float32.
struct ColumnMassArguments {
  const void* q;
  const void* k;
  const float* lse;    ///< [B, H, L]
  const float* prior;  ///< [B, G, M], may be null when M is 0
  float* mass;         ///< [B, G, S]
  int64_t q_strides[3];
  int64_t k_strides[3];
  int32_t B, H, G, L, S, D, M;
  int32_t distance;  ///< at most S
  float scale;       ///< multiplies the scores before the exponential
};

/// Whether launch_column_mass() takes this head dimension: multiples of 16 up to 128.
constexpr bool column_mass_takes(int64_t D) { return D > 0 && D <= 128 && D % 16 == 0; }

/// mass[b, g, s] = sum over the heads h of group g and the queries l at least `distance` behind key
/// s (s + distance <= S - L + l) of exp(scale * <q[b, h, l], k[b, g, s]> - lse[b, h, l]), plus
/// prior[b, g, s] where s < M. Scores live in registers alone, and every sum has a fixed order.
void launch_column_mass(const ColumnMassArguments& arguments, CUstream_st* stream);

}  // namespace lococo
