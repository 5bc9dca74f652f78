#include "tensor/attention/attention_recall.h"

#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention_backward.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#include "tensor/attention/attention_fused.h"
#include "tensor/attention/attention_reference.h"
#include "tensor/kit/shape.h"

namespace lococo {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// q, k and v have the same number of heads here.
AttentionMemo run(const Tensor& q, const Tensor& k, const Tensor& v, AttentionBackend backend) {
  const int64_t L = q.size(2);
  AttentionMemo memo;
  memo.backend = backend;
  if (backend == AttentionBackend::kCudnn) {
    const auto result = at::_scaled_dot_product_cudnn_attention(
        q, k, v, /*attn_bias=*/std::nullopt, /*compute_log_sumexp=*/true, /*dropout_p=*/0.0,
        /*is_causal=*/true, /*return_debug_mask=*/false);
    memo.out_BHLD = std::get<0>(result);
    memo.lse = std::get<1>(result);
    memo.random_state = std::get<6>(result);
    memo.random_offset = std::get<7>(result);
  } else if (q.is_cuda()) {
    const auto result = at::_flash_attention_forward(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), /*cum_seq_q=*/std::nullopt,
        /*cum_seq_k=*/std::nullopt, L, L, /*dropout_p=*/0.0, /*is_causal=*/true,
        /*return_debug_mask=*/false);
    memo.out_BHLD = std::get<0>(result).transpose(1, 2);
    memo.lse = std::get<1>(result);
    memo.random_state = std::get<2>(result);
    memo.random_offset = std::get<3>(result);
  } else {
    std::tie(memo.out_BHLD, memo.lse) = at::_scaled_dot_product_flash_attention_for_cpu(
        q, k, v, /*dropout_p=*/0.0, /*is_causal=*/true);
  }
  return memo;
}

variable_list run_backward(const Tensor& gradient, const variable_list& saved,
                           AttentionBackend backend) {
  const auto& q = saved[0];
  const auto& k = saved[1];
  const auto& v = saved[2];
  const auto& out = saved[3];
  const auto& lse = saved[4];
  const int64_t L = q.size(2);
  const Tensor none;
  if (backend == AttentionBackend::kCudnn) {
    auto [dq, dk, dv] = at::_scaled_dot_product_cudnn_attention_backward(
        in_token_order(gradient), q, k, v, out, lse, saved[5], saved[6], none, none, none, L, L,
        /*dropout_p=*/0.0,
        /*is_causal=*/true);
    return {dq, dk, dv};
  }
  if (q.is_cuda()) {
    auto [dq, dk, dv] = at::_flash_attention_backward(
        gradient.transpose(1, 2), q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2),
        out.transpose(1, 2), lse, none, none, L, L, /*dropout_p=*/0.0, /*is_causal=*/true, saved[5],
        saved[6]);
    return {dq.transpose(1, 2), dk.transpose(1, 2), dv.transpose(1, 2)};
  }
  auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
      gradient, q, k, v, out, lse, /*dropout_p=*/0.0, /*is_causal=*/true);
  return {dq, dk, dv};
}

struct Recall : torch::autograd::Function<Recall> {
  static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v,
                        const AttentionMemo& memo) {
    context->save_for_backward(
        {q, k, v, memo.out_BHLD, memo.lse, memo.random_state, memo.random_offset});
    context->saved_data["backend"] = static_cast<int64_t>(memo.backend);
    return memo.out_BHLD.detach();
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto backend = static_cast<AttentionBackend>(context->saved_data["backend"].toInt());
    auto result = run_backward(gradients[0], context->get_saved_variables(), backend);
    result.emplace_back();  // memo
    return result;
  }
};

}  // namespace

AttentionMemo remember_attention(const Tensor& q_BHLD, const Tensor& k_BGSD, const Tensor& v_BGSD,
                                 AttentionBackend backend) {
  torch::NoGradGuard no_grad;
  const int64_t B = q_BHLD.size(0), H = q_BHLD.size(1), L = q_BHLD.size(2), D = q_BHLD.size(3);
  CHECK_SHAPE(k_BGSD, B, -1, L, D);
  auto which = resolve_backend(backend, q_BHLD, L);
  // cuDNN 9 has no backward pass for a single query and key.
  if (which == AttentionBackend::kCudnn && L == 1) which = AttentionBackend::kFlash;
  if (which == AttentionBackend::kReference) {
    AttentionMemo memo;
    memo.backend = which;
    memo.out_BHLD = reference_attention(q_BHLD, k_BGSD, v_BGSD).out_BHLD;
    return memo;
  }
  return run(q_BHLD, repeat_kv_heads(k_BGSD, H), repeat_kv_heads(v_BGSD, H), which);
}

Tensor recall_attention(const Tensor& q_BHLD, const Tensor& k_BGSD, const Tensor& v_BGSD,
                        const AttentionMemo& memo) {
  TORCH_CHECK(memo.out_BHLD.defined(), "there is no attention to recall");
  if (memo.backend == AttentionBackend::kReference)
    return reference_attention(q_BHLD, k_BGSD, v_BGSD).out_BHLD;
  const int64_t H = q_BHLD.size(1);
  return Recall::apply(q_BHLD, repeat_kv_heads(k_BGSD, H), repeat_kv_heads(v_BGSD, H), memo);
}

}  // namespace lococo
