// Hugging Face LLaMA folders: weights in and out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/safetensors.h"
#include "model/llama.h"
#include "tensor/kit/safetensors_tensor.h"

namespace lococo {

/// The opened weight files of a Hugging Face folder and the union of their tensors.
struct HfTensors {
  std::vector<SafetensorsFile> files;  ///< keep the views below alive
  std::map<std::string, TensorView> views;
};

/// Opens DIR/model.safetensors, or every shard that DIR/model.safetensors.index.json names. Throws
/// UserError for a folder without either (naming the remedy when it holds pytorch_model.bin), a
/// missing shard, and an index that disagrees with its shards.
HfTensors open_hf_tensors(const std::string& dir);

/// The parameters that belong to the Hugging Face model: everything but LoRA factors and the cache
/// policies' own parameters. Handles to the model's tensors.
TensorMap base_parameters(Llama& model);

/// Throws UserError unless DIR's tensors are `parameters` (base_parameters(), on any device) in
/// name and shape, as load_hf_weights() does; reads no weights.
void check_hf_weights(const TensorMap& parameters, const std::string& dir);

/// Fills the base parameters from DIR; float32, float16 or bfloat16 values are converted to each
/// parameter's own dtype and device, or quantised from what the file holds, one matrix after the
/// other. Strict: throws one UserError that lists every tensor (the first ten by name) that is
/// missing, unknown or of another shape. Of tied models lm_head.weight may be absent or equal to
/// the embedding. Non-parameter buffers of old checkpoints (rotary_emb.inv_freq) are skipped with
/// one log line. Values that are not finite are refused too. LoRA and LoCoCo parameters stay as
/// they are. A part of a model reads its own tensors alone.
void load_hf_weights(Llama& model, const std::string& dir);

}  // namespace lococo
