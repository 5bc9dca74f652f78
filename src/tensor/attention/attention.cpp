#include "tensor/attention/attention.h"

#include <cmath>

#include "tensor/attention/attention_fused.h"
#include "tensor/attention/attention_reference.h"
#include "tensor/kit/shape.h"

namespace lococo {

AttentionBackend resolve_backend(AttentionBackend backend, const torch::Tensor& q_BHLD, int64_t S) {
  if (backend != AttentionBackend::kAuto) return backend;
  if (!q_BHLD.is_cuda()) return AttentionBackend::kFlash;
  if (q_BHLD.scalar_type() != torch::kBFloat16) return AttentionBackend::kReference;
  // cuDNN is about 1.8 times as fast on a whole sequence, but aligns its causal mask top-left.
  return q_BHLD.size(2) == S ? AttentionBackend::kCudnn : AttentionBackend::kFlash;
}

AttentionOutput causal_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                 const torch::Tensor& v_BGSD, AttentionBackend backend) {
  const int64_t B = q_BHLD.size(0), H = q_BHLD.size(1), L = q_BHLD.size(2), D = q_BHLD.size(3);
  const int64_t G = k_BGSD.size(1), S = k_BGSD.size(2);
  CHECK_SHAPE(k_BGSD, B, G, S, D);
  CHECK_SHAPE(v_BGSD, B, G, S, D);
  TORCH_CHECK(H % G == 0, "query heads H=", H, " must be a multiple of key-value heads G=", G);
  TORCH_CHECK(S >= L, "keys S=", S, " must include the L=", L, " queries' own");

  switch (resolve_backend(backend, q_BHLD, S)) {
    case AttentionBackend::kFlash:
      return q_BHLD.is_cuda() ? flash_attention_cuda(q_BHLD, k_BGSD, v_BGSD)
                              : flash_attention_cpu(q_BHLD, k_BGSD, v_BGSD);
    case AttentionBackend::kCudnn:
      return cudnn_attention(q_BHLD, k_BGSD, v_BGSD);
    default:
      return reference_attention(q_BHLD, k_BGSD, v_BGSD);
  }
}

}  // namespace lococo
