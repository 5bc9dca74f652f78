// The parts that compression.cpp and mix_slots.cpp share; only where there is CUDA.
#pragma once

#include "lococo/compress_kernel.h"
#include "lococo/compression.h"

namespace lococo {

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
