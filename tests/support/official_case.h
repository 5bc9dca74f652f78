// One run of the official LoCoCo code: its parameters, inputs and everything it computed, and our
// model set up alike.
#pragma once

#include <filesystem>
#include <string>

#include "config/attention_config.h"
#include "config/cache_config.h"
#include "core/model_shape.h"
#include "model/llama.h"
#include "tensor/kit/safetensors_tensor.h"

namespace lococo::testing {

struct OfficialCase {
  ModelShape shape;
  CacheConfig cache;
  TensorMap tensors;  ///< param.*, input_ids, blockN.*, grad.*
};

/// NAME.json (model, lococo) with NAME.safetensors beside it.
OfficialCase read_official_case(const std::filesystem::path& json_file);

/// Our model with the official parameters, float32.
Llama build_official_model(const OfficialCase& official, AttentionBackend backend);

/// Largest absolute difference.
double max_difference(const torch::Tensor& got, const torch::Tensor& want);

/// Compares logits, losses, caches, column sums and gradients with the official ones; tolerances
/// are absolute but for gradients (of the tensor's largest value).
void check_official_case(const OfficialCase& official, AttentionBackend backend);

}  // namespace lococo::testing
