#include "tensor/attention/attention_recall.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "tensor/attention/attention.h"
#include "tensor/attention/attention_reference.h"
#include "tensor/kit/shape.h"

namespace lococo {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// The gradients of q, k and v in their own memory, heads by heads.
AttentionGradients overwrite(const Tensor& gradient, const Tensor& q, const Tensor& k,
                             const Tensor& v, const AttentionMemo& memo, int64_t heads) {
  AttentionGradients all = {q.detach(), k.detach(), v.detach()};
  for (int64_t begin = 0; begin < q.size(1); begin += heads) {
    const int64_t count = std::min(heads, q.size(1) - begin);
    const auto part = [&](const Tensor& x) { return x.narrow(/*dim=*/1, begin, count); };
    AttentionMemo of_part = memo;
    of_part.out_BHLD = part(memo.out_BHLD);
    of_part.lse = part(memo.lse).contiguous();
    const auto result = call_attention_backward(part(gradient), part(q), part(k), part(v), of_part,
                                                /*causal=*/true);
    part(all.dq_BHLD).copy_(result.dq_BHLD);
    part(all.dk_BGSD).copy_(result.dk_BGSD);
    part(all.dv_BGSD).copy_(result.dv_BGSD);
  }
  return all;
}

struct Recall : torch::autograd::Function<Recall> {
  static Tensor forward(AutogradContext* context, const Tensor& q, const Tensor& k, const Tensor& v,
                        const AttentionMemo& memo, int64_t heads) {
    context->save_for_backward(
        {q, k, v, memo.out_BHLD, memo.lse, memo.random_state, memo.random_offset});
    context->saved_data["backend"] = static_cast<int64_t>(memo.backend);
    context->saved_data["heads"] = heads;
    return memo.out_BHLD.detach();
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto backend = static_cast<AttentionBackend>(context->saved_data["backend"].toInt());
    const AttentionMemo memo = {saved[3], saved[4], saved[5], saved[6], backend};
    const int64_t heads = context->saved_data["heads"].toInt();
    const auto result =
        heads < saved[0].size(1)
            ? overwrite(gradients[0], saved[0], saved[1], saved[2], memo, heads)
            : call_attention_backward(gradients[0], saved[0], saved[1], saved[2], memo,
                                      /*causal=*/true);
    return {result.dq_BHLD, result.dk_BGSD, result.dv_BGSD, Tensor(), Tensor()};
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
  return call_attention(q_BHLD, repeat_kv_heads(k_BGSD, H), repeat_kv_heads(v_BGSD, H), which,
                        /*causal=*/true);
}

Tensor recall_attention(const Tensor& q_BHLD, const Tensor& k_BGSD, const Tensor& v_BGSD,
                        const AttentionMemo& memo, int64_t heads) {
  TORCH_CHECK(heads > 0, "a backward pass of ", heads, " heads");
  TORCH_CHECK(memo.out_BHLD.defined(), "there is no attention to recall");
  if (memo.backend == AttentionBackend::kReference)
    return reference_attention(q_BHLD, k_BGSD, v_BGSD).out_BHLD;
  const int64_t H = q_BHLD.size(1);
  return Recall::apply(q_BHLD, repeat_kv_heads(k_BGSD, H), repeat_kv_heads(v_BGSD, H), memo, heads);
}

int64_t heads_at_once(int64_t B, int64_t L) {
  constexpr int64_t kTokens = int64_t{1} << 19;  // of all heads together
  return std::max<int64_t>(1, kTokens / std::max<int64_t>(1, B * L));
}

}  // namespace lococo
