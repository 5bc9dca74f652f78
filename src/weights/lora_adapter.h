// LoRA adapters, tuned embeddings and norms in PEFT's layout: adapter_config.json and
// adapter_model.safetensors (arXiv 2106.09685; trainable embedding and norms as in LongLoRA,
// arXiv 2309.12307).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/llama.h"
#include "tensor/kit/safetensors_tensor.h"

namespace lococo {

/// What to say about an adapter besides its tensors.
struct AdapterOrigin {
  std::string base_path;         ///< base_model_name_or_path; may be empty
  std::string base_fingerprint;  ///< kept in the tensor file's metadata; may be empty
};

/// Writes the model's LoRA factors and, whole, the base tensors in `saved_whole` (names such as
/// model.embed_tokens.weight). A tied embedding is written under lm_head too, because PEFT unties
/// it. DIR must exist. Throws UserError when DIR cannot be written.
void save_adapter(Llama& model, const std::string& dir, const std::vector<std::string>& saved_whole,
                  const AdapterOrigin& origin);

/// Loads DIR's factors and whole tensors into the model, converted to each parameter's dtype and
/// device. Adds LoRA with the file's rank, alpha and targets where the model has none. Strict: a
/// tensor that is missing, unknown, of another shape or not finite, and LoRA of another rank, scale
/// or targets than the model's, are UserErrors.
void load_adapter(Llama& model, const std::string& dir);

/// Whether a projection of the model has LoRA.
bool has_lora(Llama& model);

/// Throws UserError unless DIR's tensors fit `parameters` in name and shape: all of a model that
/// has the adapter's LoRA (on any device). Reads no weights.
void check_adapter(const TensorMap& parameters, const std::string& dir);

/// Names of the base tensors that DIR's adapter holds whole (model.embed_tokens.weight, ...): what
/// it tuned beside LoRA. Throws UserError when the files cannot be read.
std::vector<std::string> whole_tensors_of_adapter(const std::string& dir);

/// The fingerprint that the adapter's file carries; empty for files written by others.
std::string base_fingerprint_of_adapter(const std::string& dir);

}  // namespace lococo
