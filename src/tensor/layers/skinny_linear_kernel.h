// The CUDA kernel behind skinny_linear(): raw pointers and a stream, so that the .cu sees no torch
// header.
#pragma once

#include <cstdint>

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

inline constexpr int64_t kSkinnyMaxRows = 4;
inline constexpr int64_t kSkinnyMaxBytes = 200 * 1024;  ///< of x, which lies in shared memory
inline constexpr int kSkinnyMaxWeights = 3;

struct SkinnyLinearShape {
  int rows;                        ///< M, 1 to kSkinnyMaxRows
  int width;                       ///< K, a multiple of 8
  int outputs[kSkinnyMaxWeights];  ///< N of each weight; 0: no such weight
  bool swiglu;     ///< two weights of the same N: silu(x W0') * (x W1') into outs[0]
  bool wide;       ///< outs are float32
  float epsilon;   ///< of the norm
  bool overlap;    ///< start before the kernel before has ended (compute capability 9.0 on)
  int processors;  ///< of the device
};

/// bfloat16, contiguous, multiples of 16 bytes unless said otherwise.
struct SkinnyLinearTensors {
  const void* x;                           ///< [M, K]
  const void* norm = nullptr;              ///< [K], or nullptr: none
  const void* weights[kSkinnyMaxWeights];  ///< [N, K]
  const void* residual = nullptr;          ///< [M, outputs[0]], or nullptr; one weight only
  void* outs[kSkinnyMaxWeights];           ///< [M, N]
};

/// Sums are float32 in a fixed order, so results repeat bit for bit.
void launch_skinny_linear(const SkinnyLinearTensors& tensors, const SkinnyLinearShape& shape,
                          CUstream_st* stream);

}  // namespace lococo
