// Compression of a cache in a few launches of the project's own CUDA kernels, instead of the some
// sixty of the tensor operations in conv_memory.cpp, heavy_hitter.cpp and streaming.cpp, which stay
// as the reference. Here: which slots stay, and the compressed cache written; fused_mix.h makes the
// mixtures on top.
#pragma once

#include <torch/types.h>

#include "config/config.h"
#include "lococo/cache_state.h"
#include "lococo/compress_kernel.h"

namespace lococo {

/// The one place that chooses between the kernels and the reference. The kernels take bfloat16
/// caches on a CUDA device with D a multiple of 8, any strides that keep 16-byte loads aligned and
/// the channels of a slot together, at most 8192 slots where masses are ranked, and for LoCoCo one
/// convolution over keys and values and a multiple of 8 mixed slots. They give keys and values no
/// gradient: where these require one, the reference runs.
bool use_fused_compression(const CacheState& cache, const CacheConfig& config);

/// Which slots stay and where they go: int32, X = B * G rows.
struct SlotPlan {
  torch::Tensor rest_XS;      ///< slots that are not kept, ascending
  torch::Tensor residual_XR;  ///< places in rest_XS of its R heaviest, ascending
  /// Slot of each kept token, ascending, then that of each mixed slot's residual, ascending.
  torch::Tensor source_XM;
  torch::Tensor target_XM;  ///< slot of the compressed cache that each of these goes to
};

/// The choice of select_slots and the order of ConvMemory::compress in one launch, without a host
/// synchronisation. mass_BGS: float32 on a CUDA device, neighbouring slots, at most 8192. Of equal
/// masses the lower slot wins.
SlotPlan plan_slots(const torch::Tensor& mass_BGS, const CacheConfig& config);

/// Streaming, h2o, and LoCoCo that mixes nothing: `config.slots` tokens unchanged. Carries no
/// gradient. Requires use_fused_compression.
CacheState keep_slots_fused(const CacheState& cache, const CacheConfig& config);

/// The tokens that a convolution mixes, and what they give. X = B * G rows, S the slots that are
/// not kept, C = 2 D, C' those of them that are mixed: all, or the values' D.
struct SlotMixture {
  torch::Tensor x_XSC;      ///< keys ++ values of these slots
  torch::Tensor y_XSR;      ///< the convolution's output
  torch::Tensor lse_XR;     ///< its log-sum-exp over time, float32
  torch::Tensor mixed_XRC;  ///< softmax over time, times x; C' channels
  torch::Tensor mass_XR;    ///< mixed masses, float32
};

/// The compressed cache. A plan without lists: sinks and the newest slots, no masses. A mixture
/// without tensors: nothing is mixed, `normalizer` is not read. normalizer: float32.
CacheState write_slots(const CacheState& cache, const SlotPlan& plan, const CompressShape& shape,
                       const SlotMixture& mixture, const torch::Tensor& normalizer);

}  // namespace lococo
