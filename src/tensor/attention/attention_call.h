// LibTorch's fused attention kernels, forward and backward apart: what a backward pass of our own
// is made of. Nothing here is recorded by autograd.
#pragma once

#include <torch/types.h>

#include <optional>

#include "config/attention_config.h"

namespace lococo {

/// What one call of a kernel leaves for its backward pass.
struct AttentionMemo {
  torch::Tensor out_BHLD;                     ///< undefined: nothing is kept yet
  torch::Tensor lse;                          ///< [B, H, L] or [B, H, L, 1], as the kernel gives it
  torch::Tensor random_state, random_offset;  ///< of the kernel's (unused) dropout
  AttentionBackend backend = AttentionBackend::kAuto;
};

struct AttentionGradients {
  torch::Tensor dq_BHLD, dk_BGSD, dv_BGSD;
};

/// Whether the kernel takes fewer key-value heads than query heads: FlashAttention on a GPU does.
bool takes_grouped_heads(AttentionBackend backend, torch::Device device);

/// `backend` is kFlash or kCudnn (attention.h says what they take). `causal`: L = S, and a query
/// sees keys up to itself; else it sees all S keys, of which there may be any number with kFlash.
AttentionMemo call_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                             const torch::Tensor& v_BGSD, AttentionBackend backend, bool causal);

/// The gradients of q, k and v through the kernels of `memo.backend`, which need not be those that
/// gave the memo's output. `causal`: the queries are the last L of the S keys, and each sees keys
/// up to itself. `scale` is of the logits, by default 1 / sqrt(D). A kernel takes the probabilities
/// of its keys from `memo.lse`, and what the softmax's normalisation adds from `memo.out_BHLD`:
/// given those of a softmax over these keys and others, the gradients are this part's of that
/// whole.
AttentionGradients call_attention_backward(const torch::Tensor& gradient_BHLD,
                                           const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                           const torch::Tensor& v_BGSD, const AttentionMemo& memo,
                                           bool causal, std::optional<double> scale = {});

}  // namespace lococo
