// The soft form of a learned memory, through which it is taught end to end: a whole sequence at
// once, in which a block's queries see every earlier key with the logarithm of how much of it a
// cache would have kept. docs/memory.md has the formulas.
#pragma once

#include <torch/types.h>

#include "config/attention_config.h"
#include "soft/soft_keep.h"

namespace lococo {

/// A whole sequence of one layer: T tokens, keys after RoPE.
struct SoftAttentionInput {
  torch::Tensor q_BHTD, k_BGTD, v_BGTD;
  AttentionBackend backend = AttentionBackend::kAuto;
};

/// The cache that a policy is taught for, with the sharpness of its choice.
struct SoftCache {
  SoftKeep keep;
  int64_t block = 0;  ///< tokens of a block
  double score_decay = 1.0;
  int64_t score_distance = 0;
  int64_t slots() const { return keep.sinks + keep.local + keep.alone + keep.massed; }
};

/// Attention of a whole sequence, [B, H, T, D] in the dtype of q. Block after block (the loop is
/// the cache's own order of work): keys before the block get + log keep (soft_keep.h) on their
/// logits wherever the cache would compress, by score_BGT [B, G, T] float32 and, where keep.massed
/// is not 0, score_with_mass(); the block itself is causal. The mass that a key has is that of this
/// same attention, faded as the cache fades it, without gradient. Gradients reach q, k, v, the
/// score and mass_weight_G. As the temperature falls to 0 this is the attention of the compressed
/// cache itself.
torch::Tensor soft_cache_attention(const SoftAttentionInput& input, const SoftCache& cache,
                                   const torch::Tensor& score_BGT,
                                   const torch::Tensor& mass_weight_G);

/// The same in tensor operations and autograd's own gradients: slow and obviously right.
torch::Tensor soft_cache_attention_reference(const SoftAttentionInput& input,
                                             const SoftCache& cache, const torch::Tensor& score_BGT,
                                             const torch::Tensor& mass_weight_G);

}  // namespace lococo
