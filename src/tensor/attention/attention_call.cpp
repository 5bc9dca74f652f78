#include "tensor/attention/attention_call.h"

#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention_backward.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>

#include "tensor/attention/attention_fused.h"

namespace lococo {
namespace {

AttentionGradients cudnn_gradients(const torch::Tensor& gradient, const torch::Tensor& q,
                                   const torch::Tensor& k, const torch::Tensor& v,
                                   const AttentionMemo& memo, bool causal,
                                   std::optional<double> scale) {
  const torch::Tensor none;
  // torch 2.11 keeps cuDNN's plans by the strides of q, k and v alone: what else has strides must
  // have the same ones each time. Its own outputs have q's.
  const auto out = laid_out_like(q, memo.out_BHLD);
  auto [dq, dk, dv] = at::_scaled_dot_product_cudnn_attention_backward(
      in_token_order(gradient), q, k, v, out, memo.lse.reshape({q.size(0), q.size(1), -1, 1}),
      memo.random_state, memo.random_offset, none, none, none, q.size(2), k.size(2),
      /*dropout_p=*/0.0, causal, scale);
  return {dq, dk, dv};
}

/// Of causal attention whose queries are the last of the keys, by a kernel that aligns its mask
/// top-left: earlier keys, which every query sees, and the queries' own are two calls.
AttentionGradients gradients_of_parts(const torch::Tensor& gradient, const torch::Tensor& q,
                                      const torch::Tensor& k, const torch::Tensor& v,
                                      const AttentionMemo& memo, std::optional<double> scale) {
  const int64_t own = q.size(2), earlier = k.size(2) - own;
  AttentionMemo laid_out = memo;  // once for both parts
  laid_out.out_BHLD = laid_out_like(q, memo.out_BHLD);
  const auto part = [&](int64_t begin, int64_t length, bool causal) {
    return call_attention_backward(gradient, q, k.narrow(/*dim=*/2, begin, length),
                                   v.narrow(/*dim=*/2, begin, length), laid_out, causal, scale);
  };
  const auto before = part(0, earlier, /*causal=*/false);
  const auto among = part(earlier, own, /*causal=*/true);
  const auto joined = [](const torch::Tensor& first, const torch::Tensor& second) {
    return torch::cat({first.transpose(1, 2), second.transpose(1, 2)}, /*dim=*/1).transpose(1, 2);
  };
  return {before.dq_BHLD + among.dq_BHLD, joined(before.dk_BGSD, among.dk_BGSD),
          joined(before.dv_BGSD, among.dv_BGSD)};
}

}  // namespace

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
                                           const AttentionMemo& memo, bool causal,
                                           std::optional<double> scale) {
  const int64_t L = q.size(2), S = k.size(2);
  const bool bottom_right = memo.backend == AttentionBackend::kFlash && q.is_cuda();
  if (causal && L < S && !bottom_right) return gradients_of_parts(gradient, q, k, v, memo, scale);
  if (memo.backend == AttentionBackend::kCudnn)
    return cudnn_gradients(gradient, q, k, v, memo, causal, scale);
  const torch::Tensor none;
  if (q.is_cuda()) {
    auto [dq, dk, dv] = at::_flash_attention_backward(
        gradient.transpose(1, 2), q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2),
        memo.out_BHLD.transpose(1, 2), memo.lse, none, none, L, S, /*dropout_p=*/0.0, causal,
        memo.random_state, memo.random_offset, scale);
    return {dq.transpose(1, 2), dk.transpose(1, 2), dv.transpose(1, 2)};
  }
  auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
      gradient, q, k, v, memo.out_BHLD, memo.lse, /*dropout_p=*/0.0, causal,
      /*attn_mask=*/std::nullopt, scale);
  return {dq, dk, dv};
}

}  // namespace lococo
