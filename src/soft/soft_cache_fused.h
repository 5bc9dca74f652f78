// The soft form of a learned memory on a GPU: one node of autograd for a layer's whole sequence,
// FlashAttention for each block and the fastest kernel for the gradients of several, buffers that
// all blocks share. soft_cache.cpp has the slow form.
#pragma once

#include <torch/types.h>

#include "soft/soft_cache.h"

namespace lococo {

/// Whether the fused form takes the sequence: bfloat16 on a CUDA device, D a multiple of 8 up to
/// 240, and a backend other than kReference. kAuto and kCudnn take gradients from cuDNN where it
/// can give them.
bool takes_fused_soft_cache(const SoftAttentionInput& input);

/// soft_cache_attention(). Where takes_fused_soft_cache() is false attention itself runs slowly, so
/// that the node can be tested anywhere and in float64. Keeps q, k and v once with 16 more
/// channels (two for each of eight blocks hold the terms of its keys in two bfloat16 parts), and
/// per block its output and what the choice was made of. Gradients of keys and values are summed
/// over blocks in float32.
torch::Tensor soft_cache_attention_fused(const SoftAttentionInput& input, const SoftCache& cache,
                                         const torch::Tensor& score_BGT,
                                         const torch::Tensor& mass_weight_G);

}  // namespace lococo
