// A LLaMA small enough for unit tests: grouped-query attention and a linear RoPE factor.
#pragma once

#include <cstdint>

#include "config/cache_config.h"
#include "config/train_config.h"
#include "core/model_shape.h"
#include "model/llama.h"
#include "tensor/kit/safetensors_tensor.h"

namespace lococo::testing {

/// How many times wider differences of rounding are behind two layers, norms and a head.
inline constexpr double kThroughModel = 10.0;

ModelShape tiny_shape();

/// The same in sizes that the GPU's kernels take.
ModelShape kernel_shape();

/// LoCoCo with 8 slots, blocks of 8 and kernels of 3, unrotated keys.
CacheConfig tiny_cache();

/// Trains every parameter, the compression's included.
TuneConfig tune_all_parts();

/// Every weight random from `seed` (norms around 1).
Llama tiny_llama(uint64_t seed, const CacheConfig& cache = {},
                 const ModelShape& shape = tiny_shape());

/// Adds `stddev` x normal noise from `seed` to every parameter whose name contains `part`.
void perturb(Llama& model, const std::string& part, double stddev, uint64_t seed);

/// A clone of every parameter by name.
TensorMap snapshot(Llama& model);

/// Whether two maps hold the same names with the same dtypes and bits.
bool same_bits(const TensorMap& a, const TensorMap& b);

/// int64 [B, L] tokens from `seed`.
torch::Tensor random_tokens(int64_t B, int64_t L, uint64_t seed);

/// int64 [B, L] tokens from `seed` of which no row has one twice, L <= tiny_shape().vocab_size: in
/// the first layer a gate scores equal tokens equally, and which of these stays would be decided by
/// rounding.
torch::Tensor distinct_tokens(int64_t B, int64_t L, uint64_t seed);

/// Final hidden states of all blocks of tokens_BL under the model's cache policy, [B, L, E].
torch::Tensor blockwise_hidden(Llama& model, const torch::Tensor& tokens_BL);

}  // namespace lococo::testing
