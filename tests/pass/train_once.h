// One call of a pass with the gradients that it leaves.
#pragma once

#include "config/cache_config.h"
#include "model/registry.h"
#include "pass/sequence_pass.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

namespace lococo::testing {

inline constexpr int64_t kLossChunk = 7;

/// Blocks that attend as a whole sequence does, targets and gradients of their edges included.
inline CacheConfig uncompressed(int64_t block) {
  CacheConfig cache;  // policy none
  cache.block = block;
  cache.first_block_gradient = true;
  cache.boundary_targets = true;
  return cache;
}

struct Outcome {
  PassResult result;
  TensorMap gradients;
};

/// Gradients of one call of a pass on a model with all parts trained.
inline Outcome train_once(SequencePass& pass, Llama model, const Batch& batch) {
  const ParameterRegistry registry(model, tune_all_parts(), 0.0, torch::kFloat32);
  Outcome outcome;
  outcome.result = pass.train(model, batch);
  for (const auto& parameter : registry.trainable())
    outcome.gradients[parameter.name] = parameter.tensor.grad();
  return outcome;
}

inline void check_gradients(const TensorMap& got, const TensorMap& want) {
  REQUIRE(got.size() == want.size());
  for (const auto& [name, gradient] : want) {
    INFO(name);
    REQUIRE(gradient.defined() == got.at(name).defined());
    if (gradient.defined()) CHECK_CLOSE(got.at(name), gradient, kThroughModel);
  }
}

}  // namespace lococo::testing
