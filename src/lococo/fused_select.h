// Compression of a cache in a few launches of the project's own CUDA kernels, instead of the some
// sixty of the tensor operations in conv_memory.cpp, heavy_hitter.cpp, retention.cpp and
// streaming.cpp, which stay as the reference. Here: which slots stay, and the compressed cache
// written; fused_mix.h makes the mixtures on top.
#pragma once

#include <torch/types.h>

#include "config/cache_config.h"
#include "lococo/cache_state.h"
#include "lococo/compress_kernel.h"
#include "lococo/selection.h"

namespace lococo {

/// The one place that chooses between the kernels and the reference. The kernels take bfloat16
/// caches on a CUDA device with D a multiple of 8, any strides that keep 16-byte loads aligned and
/// the channels of a slot together, at most 8192 slots where masses or scores are ranked, and for
/// LoCoCo one convolution over keys and values and a multiple of 8 mixed slots, without scores and
/// places. They give keys and values no gradient: where these require one, the reference runs.
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

/// The choice of select_two_shares, the second share by score + mass_weight * log(mass +
/// kMassFloor), in one launch, without a host synchronisation: source_XM, ascending, and target_XM.
/// score_BGS and mass_BGS (may be undefined when `massed` is 0): float32 on a CUDA device,
/// neighbouring slots, at most 8192. Of equal numbers the lower slot wins.
SlotPlan plan_two_shares(const torch::Tensor& score_BGS, const torch::Tensor& mass_BGS,
                         const torch::Tensor& mass_weight_G, const SlotShares& shares);

/// Streaming, h2o, and LoCoCo that mixes nothing: `config.slots` tokens unchanged, with their
/// places, scores and fading masses. Carries no gradient. Requires use_fused_compression.
CacheState keep_slots_fused(const CacheState& cache, const CacheConfig& config);

/// The same for retention, whose gate has this mass_weight (any dtype).
CacheState keep_two_shares_fused(const CacheState& cache, const CacheConfig& config,
                                 const torch::Tensor& mass_weight_G);

/// The tokens that a convolution mixes, and what they give. X = B * G rows, S the slots that are
/// not kept, C = 2 D, C' those of them that are mixed: all, or the values' D.
struct SlotMixture {
  torch::Tensor x_XSC;      ///< keys ++ values of these slots
  torch::Tensor y_XSR;      ///< the convolution's output
  torch::Tensor lse_XR;     ///< its log-sum-exp over time, float32
  torch::Tensor mixed_XRC;  ///< softmax over time, times x; C' channels
  torch::Tensor mass_XR;    ///< mixed masses, float32
};

/// The compressed cache, with the places that `cache` has, and its masses and scores. A plan
/// without lists: sinks and the newest slots, no masses and scores. A mixture without tensors:
/// nothing is mixed, `normalizer` is not read. normalizer: float32.
CacheState write_slots(const CacheState& cache, const SlotPlan& plan, const CompressShape& shape,
                       const SlotMixture& mixture, const torch::Tensor& normalizer);

}  // namespace lococo
