#include "tensor/attention/attention_call.h"

#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention_backward.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>

#include "tensor/attention/attention_fused.h"

namespace lococo {

bool takes_grouped_heads(AttentionBackend backend, torch::Device device) {
  return backend == AttentionBackend::kFlash && device.is_cuda();
}

AttentionMemo call_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                             AttentionBackend backend, bool causal) {
  const torch::NoGradGuard no_grad;
  AttentionMemo memo;
  memo.backend = backend;
  if (backend == AttentionBackend::kCudnn) {
    const auto result = at::_scaled_dot_product_cudnn_attention(
        q, k, v, /*attn_bias=*/std::nullopt, /*compute_log_sumexp=*/true, /*dropout_p=*/0.0, causal,
        /*return_debug_mask=*/false);
    memo.out_BHLD = std::get<0>(result);
    memo.lse = std::get<1>(result);
    memo.random_state = std::get<6>(result);
    memo.random_offset = std::get<7>(result);
  } else if (q.is_cuda()) {
    const auto result = at::_flash_attention_forward(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), /*cum_seq_q=*/std::nullopt,
        /*cum_seq_k=*/std::nullopt, q.size(2), k.size(2), /*dropout_p=*/0.0, causal,
        /*return_debug_mask=*/false);
    memo.out_BHLD = std::get<0>(result).transpose(1, 2);
    memo.lse = std::get<1>(result);
    memo.random_state = std::get<2>(result);
    memo.random_offset = std::get<3>(result);
  } else {
    std::tie(memo.out_BHLD, memo.lse) =
        at::_scaled_dot_product_flash_attention_for_cpu(q, k, v, /*dropout_p=*/0.0, causal);
  }
  return memo;
}

AttentionGradients call_attention_backward(const torch::Tensor& gradient, const torch::Tensor& q,
                                           const torch::Tensor& k, const torch::Tensor& v,
                                           const AttentionMemo& memo, bool causal) {
  const int64_t L = q.size(2), S = k.size(2);
  const torch::Tensor none;
  if (memo.backend == AttentionBackend::kCudnn) {
    auto [dq, dk, dv] = at::_scaled_dot_product_cudnn_attention_backward(
        in_token_order(gradient), q, k, v, memo.out_BHLD, memo.lse, memo.random_state,
        memo.random_offset, none, none, none, L, S, /*dropout_p=*/0.0, causal);
    return {dq, dk, dv};
  }
  if (q.is_cuda()) {
    auto [dq, dk, dv] = at::_flash_attention_backward(
        gradient.transpose(1, 2), q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2),
        memo.out_BHLD.transpose(1, 2), memo.lse, none, none, L, S, /*dropout_p=*/0.0, causal,
        memo.random_state, memo.random_offset);
    return {dq.transpose(1, 2), dk.transpose(1, 2), dv.transpose(1, 2)};
  }
  auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
      gradient, q, k, v, memo.out_BHLD, memo.lse, /*dropout_p=*/0.0, causal);
  return {dq, dk, dv};
}

}  // namespace lococo
