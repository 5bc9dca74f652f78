// LoCoCo's compression in the project's CUDA kernels; ConvMemory::compress is the reference.
#pragma once

#include <torch/types.h>

#include "config/cache_config.h"
#include "lococo/cache_state.h"

namespace lococo {

/// ConvMemory::compress with one convolution (weight_RCK, bias_R, C = 2 D) and normalizer [1] or
/// [G]. Differentiable in these three (without mix_keys through the values alone); the masses carry
/// no gradient. Softmax and mixture keep float32 inside and are rounded once. Repeats bit for bit.
/// Requires use_fused_compression, R > 0. Where cache.prepared_KOC is defined the mixture is made
/// with that, which must be weight_RCK packed; the gradient goes to weight_RCK all the same.
CacheState mix_slots_fused(const CacheState& cache, const CacheConfig& config,
                           const torch::Tensor& weight_RCK, const torch::Tensor& bias_R,
                           const torch::Tensor& normalizer);

}  // namespace lococo
