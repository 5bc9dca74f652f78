#include "tensor/attention/attention.h"

#include <ATen/Context.h>

#ifdef LOCOCO_WITH_CUDA
#include <ATen/cuda/CUDAContext.h>
#endif

#include <cstdlib>

#include "tensor/attention/attention_fused.h"
#include "tensor/attention/attention_reference.h"
#include "tensor/kit/shape.h"

namespace lococo {

namespace {

/// FlashAttention and cuDNN read rows of whole 16 bytes.
constexpr int64_t kChannelStep = 8;
constexpr int64_t kMostFlashChannels = 256;
constexpr int64_t kMostCudnnChannels = 128;

bool on_hopper([[maybe_unused]] const torch::Tensor& x) {
#ifdef LOCOCO_WITH_CUDA
  if (x.is_cuda()) return at::cuda::getDeviceProperties(x.get_device())->major == 9;
#endif
  return false;
}

}  // namespace

AttentionBackend fastest_backend(const AttentionWork& work) {
  if (!work.on_gpu) return AttentionBackend::kFlash;
  const bool fused = work.dtype == torch::kBFloat16 && work.channels % kChannelStep == 0 &&
                     work.channels <= kMostFlashChannels;
  if (!fused) return AttentionBackend::kReference;
  // cuDNN is about 1.8 times as fast on a whole sequence, but aligns its causal mask top-left.
  const bool whole = work.queries == work.keys;
  const bool cudnn = whole && work.channels <= kMostCudnnChannels && !work.deterministic;
  return cudnn ? AttentionBackend::kCudnn : AttentionBackend::kFlash;
}

AttentionBackend fastest_gradients(const AttentionWork& work, bool on_hopper) {
  constexpr int64_t kFewQueries = 64;  // for which a plan of cuDNN's gains nothing
  const int64_t most_channels = on_hopper ? kMostFlashChannels : kMostCudnnChannels;
  const bool cudnn = work.on_gpu && !work.deterministic && work.queries >= kFewQueries &&
                     work.channels <= most_channels;
  return cudnn ? AttentionBackend::kCudnn : AttentionBackend::kFlash;
}

AttentionBackend fastest_gradients(const torch::Tensor& q_BHLD) {
  return fastest_gradients(
      {q_BHLD.is_cuda(), q_BHLD.scalar_type(), q_BHLD.size(2), /*keys=*/q_BHLD.size(2),
       q_BHLD.size(3), at::globalContext().deterministicAlgorithms()},
      on_hopper(q_BHLD));
}

AttentionBackend resolve_backend(AttentionBackend backend, const torch::Tensor& q_BHLD, int64_t S) {
  if (backend != AttentionBackend::kAuto) return backend;
  return fastest_backend({q_BHLD.is_cuda(), q_BHLD.scalar_type(), q_BHLD.size(2), S, q_BHLD.size(3),
                          at::globalContext().deterministicAlgorithms()});
}

void use_deterministic_kernels() {
  // cuBLAS repeats its bits with a workspace of fixed size, which it reads from the environment.
  setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
  auto& context = at::globalContext();
  // Only a warning where an operation has no such form: none that training uses lacks one.
  context.setDeterministicAlgorithms(true, /*warn_only=*/true);
  context.setDeterministicCuDNN(true);
  context.setDeterministicFillUninitializedMemory(false);
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
