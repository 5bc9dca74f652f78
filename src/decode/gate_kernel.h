// The CUDA kernel that finishes the score of a new token: raw pointers and a stream, so that the
// .cu sees no torch header.
#pragma once

#include "lococo/compress_kernel.h"

namespace lococo {

struct GateShape {
  int batch;           ///< B
  int heads;           ///< G
  int units;           ///< U
  int product_stride;  ///< numbers between the products of two sequences
  bool overlap;        ///< start before the kernel before has ended (compute capability 9.0 on)
};

struct GateTensors {
  const uint16_t* product;   ///< bfloat16 [B, U + G] and more: W_hidden x, then W_skip x
  const float* hidden_bias;  ///< [U]
  const float* out_weight;   ///< [G, U]
  const float* out_bias;     ///< [G]
  const int32_t* cursor;     ///< [B, 2]: the new token's slot first
  NumberView<float> score;   ///< [B, G, C]
};

/// score[b, g, slot] = out_weight gelu(W_hidden x + hidden_bias) + W_skip x + out_bias in float32,
/// gelu with erf. The same inputs give the same bits.
void launch_gate(const GateTensors& tensors, const GateShape& shape, CUstream_st* stream);

}  // namespace lococo
