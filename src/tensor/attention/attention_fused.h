// LibTorch's fused forms of causal attention; shapes and masks as in attention.h.
#pragma once

#include "tensor/attention/attention.h"

namespace lococo {

/// LibTorch's blocked CPU kernel; float32, float64 or bfloat16.
AttentionOutput flash_attention_cpu(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                    const torch::Tensor& v_BGSD);

/// FlashAttention-2 (arXiv 2307.08691) on a GPU; bfloat16 or float16. Its causal mask is aligned
/// bottom-right.
AttentionOutput flash_attention_cuda(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                     const torch::Tensor& v_BGSD);

/// cuDNN's fused attention on a GPU; bfloat16 or float16. For S > L the alignment goes in as a
/// bias.
AttentionOutput cudnn_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                const torch::Tensor& v_BGSD);

/// The same numbers with the heads of a token side by side in memory, as an output projection hands
/// back the gradient of attention's output: no copy then. cuDNN is given every such gradient so:
/// torch 2.11 keeps its plans by the sizes and strides of q, k and v alone, and a plan that was
/// made for a gradient of other strides misreads this one.
torch::Tensor in_token_order(const torch::Tensor& x_BHLD);

/// The same numbers with the strides of what a kernel makes like `like`, which has x's shape. No
/// copy where they differ in dimensions of size 1 alone, which no kernel steps along.
torch::Tensor laid_out_like(const torch::Tensor& like, const torch::Tensor& x);

}  // namespace lococo
