// Causal attention over a cache and a block, with the log-sum-exp that lets attention's column sums
// be computed without keeping the probabilities. The mask is aligned bottom-right: query l of L
// sees keys 0 .. S - L + l.
#pragma once

#include <torch/types.h>

#include "config/attention_config.h"

namespace lococo {

struct AttentionOutput {
  torch::Tensor out_BHLD;  ///< dtype of q
  torch::Tensor lse_BHL;   ///< float32, natural logarithm, no gradient
};

/// q_BHLD, k_BGSD and v_BGSD share dtype and device; H is a multiple of G and S >= L. Scale is 1 /
/// sqrt(D). Gradients reach q, k and v. Throws c10::Error for other shapes, and where the backend
/// does not take the device or dtype. kReference is the slow, obviously right form (softmax in
/// float32); kFlash is FlashAttention on a GPU (bfloat16, heads of a multiple of 8 and at most 256
/// channels) and the blocked kernel of LibTorch on a CPU; kCudnn needs a GPU, bfloat16 and heads of
/// a multiple of 8 and at most 128 channels. kAuto takes the fastest that can do the work.
///
/// Outputs repeat bit for bit. Gradients do on a CPU and with kReference; on a GPU kFlash and
/// kCudnn add a key's gradients in the order in which blocks finish, unless
/// use_deterministic_kernels() was called: then kAuto is kFlash, whose deterministic form LibTorch
/// is asked for (CONTRIBUTING says what was seen). kCudnn has none.
AttentionOutput causal_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGSD,
                                 const torch::Tensor& v_BGSD, AttentionBackend backend);

/// What decides which implementation can do the work.
struct AttentionWork {
  bool on_gpu = false;
  torch::ScalarType dtype = torch::kFloat32;
  int64_t queries = 0, keys = 0;  ///< L and S
  int64_t channels = 0;           ///< D
  bool deterministic = false;     ///< gradients must repeat
};

/// The backend that kAuto stands for.
AttentionBackend fastest_backend(const AttentionWork& work);

/// kFlash or kCudnn: whose gradients come fastest, however many keys the queries see
/// (call_attention_backward()); channels as for kFlash. `on_hopper`: cuDNN then goes back through
/// heads as wide as FlashAttention does, else through 128 channels at most.
AttentionBackend fastest_gradients(const AttentionWork& work, bool on_hopper);

/// The same for these queries where they are.
AttentionBackend fastest_gradients(const torch::Tensor& q_BHLD);

/// `backend`, or the one that kAuto stands for with these queries.
AttentionBackend resolve_backend(AttentionBackend backend, const torch::Tensor& q_BHLD, int64_t S);

/// Makes LibTorch's kernels, those of attention first of all, repeat their bits in this process
/// from now on. To be called before the first work on a GPU.
void use_deterministic_kernels();

}  // namespace lococo
