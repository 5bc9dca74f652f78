#include "tensor/attention/attention_fused.h"

#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <torch/csrc/autograd/custom_function.h>

#include "tensor/attention/attention_reference.h"

namespace lococo {
namespace {

/// Identity whose gradient is in token order.
struct TokenOrderGradient : torch::autograd::Function<TokenOrderGradient> {
  static torch::Tensor forward(torch::autograd::AutogradContext*, const torch::Tensor& x_BHLD) {
    return x_BHLD.view_as(x_BHLD);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*,
                                                 torch::autograd::variable_list gradients) {
    return {in_token_order(gradients[0])};
  }
};

}  // namespace

torch::Tensor in_token_order(const torch::Tensor& x_BHLD) {
  return x_BHLD.transpose(1, 2).contiguous().transpose(1, 2);
}

torch::Tensor laid_out_like(const torch::Tensor& like, const torch::Tensor& x) {
  auto laid_out = torch::empty_like(like);
  for (int64_t i = 0; i < x.dim(); ++i)
    if (x.size(i) > 1 && x.stride(i) != laid_out.stride(i)) return laid_out.copy_(x);
  return x.as_strided(x.sizes(), laid_out.strides());
}

AttentionOutput flash_attention_cpu(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                    const torch::Tensor& v_BGSD) {
  const int64_t H = q_BHLD.size(1), L = q_BHLD.size(2), S = k_BGSD.size(2);
  // The kernel's own causal flag is aligned top-left, so a longer key side needs the mask written
  // out.
  std::optional<torch::Tensor> mask;
  if (L != S) mask = causal_bias(L, S, q_BHLD.options().requires_grad(false));
  auto [out, lse] = at::_scaled_dot_product_flash_attention_for_cpu(
      q_BHLD, repeat_kv_heads(k_BGSD, H), repeat_kv_heads(v_BGSD, H), /*dropout_p=*/0.0,
      /*is_causal=*/L == S, mask);
  return {out, lse.detach().to(torch::kFloat32)};
}

AttentionOutput flash_attention_cuda(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                     const torch::Tensor& v_BGSD) {
  const int64_t L = q_BHLD.size(2), S = k_BGSD.size(2);
  const auto result = at::_flash_attention_forward(
      q_BHLD.transpose(1, 2), k_BGSD.transpose(1, 2), v_BGSD.transpose(1, 2),
      /*cum_seq_q=*/std::nullopt, /*cum_seq_k=*/std::nullopt, /*max_q=*/L,
      /*max_k=*/S, /*dropout_p=*/0.0, /*is_causal=*/true,
      /*return_debug_mask=*/false);
  return {std::get<0>(result).transpose(1, 2), std::get<1>(result).detach()};
}

AttentionOutput cudnn_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                const torch::Tensor& v_BGSD) {
  const int64_t H = q_BHLD.size(1), L = q_BHLD.size(2), S = k_BGSD.size(2);
  // cuDNN 9 has no backward pass for a single query and key.
  if (S == 1) return flash_attention_cuda(q_BHLD, k_BGSD, v_BGSD);
  std::optional<torch::Tensor> bias;
  if (L != S)
    bias =
        causal_bias(L, S, q_BHLD.options().requires_grad(false)).expand({q_BHLD.size(0), H, L, S});
  const auto result = at::_scaled_dot_product_cudnn_attention(
      q_BHLD, repeat_kv_heads(k_BGSD, H), repeat_kv_heads(v_BGSD, H), bias,
      /*compute_log_sumexp=*/true,
      /*dropout_p=*/0.0, /*is_causal=*/L == S, /*return_debug_mask=*/false);
  return {TokenOrderGradient::apply(std::get<0>(result)),
          std::get<1>(result).detach().reshape({q_BHLD.size(0), H, L})};
}

}  // namespace lococo
