// A model as a Hugging Face folder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "config/model_config.h"
#include "model/llama.h"

namespace lococo {

/// Which base weights save_hf_model writes.
enum class HfWeightForm {
  kMerged,  ///< LoRA added in float32
  kPlain,   ///< without LoRA
};

/// Writes a folder that transformers loads: config.json (RoPE scaling included) and
/// model.safetensors, or shards of at most `max_shard_bytes` with their index. `dtype` absent: each
/// parameter's own. DIR must exist. The tokenizer is the caller's to copy. Throws UserError when
/// DIR cannot be written. The model must not be quantised.
void save_hf_model(Llama& model, const std::string& dir, std::optional<DType> dtype,
                   int64_t max_shard_bytes, HfWeightForm form = HfWeightForm::kMerged);

}  // namespace lococo
