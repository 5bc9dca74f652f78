// A tiny LLaMA on a quantised base, and the same with the dequantised values in dense matrices.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/registry.h"
#include "tests/support/tiny_llama.h"

namespace lococo::testing {

/// A model with frozen projections and LoRA (on `targets`, none without), embedding, norms and
/// convolutions in training.
struct TrainedModel {
  Llama model{nullptr};
  std::unique_ptr<ParameterRegistry> registry;

  /// Gradients of all that is trained, by name.
  TensorMap gradients() const;
};

/// What the kernels take: their head dimension, and rows of a base in 4 or 8 bits.
ModelShape shape_of_kernels();
/// LoCoCo with blocks of 64 tokens.
CacheConfig cache_of_kernels();

struct QuantisedPair {
  QuantisedPair(const std::vector<std::string>& targets, torch::ScalarType dtype,
                const CacheConfig& cache = tiny_cache(), const ModelShape& shape = tiny_shape(),
                torch::Device device = torch::kCPU, BasePrecision precision = BasePrecision::kNf4);
  TrainedModel quantised, dense;
};

}  // namespace lococo::testing
