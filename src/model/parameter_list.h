// The parameters of a model that is not built, from its shape alone.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "config/cache_config.h"
#include "core/model_shape.h"
#include "model/layer_range.h"

namespace lococo {

/// In the order of registration.
using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

/// Which LoRA a model has; rank 0: none.
struct LoraShape {
  int64_t rank = 0;
  std::vector<std::string> targets;
};

/// What Llama(shape, cache, ...) with add_lora(lora) would register: the same names in the same
/// order, float32 tensors of the same sizes on the meta device, which hold no memory.
NamedTensors list_parameters(const ModelShape& shape, const CacheConfig& cache,
                             const LoraShape& lora = {});

/// Those of them that are not elsewhere: what a Llama of that range registers.
NamedTensors parameters_of(const LayerRange& range, const NamedTensors& all);

}  // namespace lococo
