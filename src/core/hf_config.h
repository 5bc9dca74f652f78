// Hugging Face config.json -> ModelShape, in the old (rope_theta, rope_scaling) and the new
// (rope_parameters) spelling.
#pragma once

#include <string>

#include "core/model_shape.h"

namespace lococo {

/// Throws UserError, with the command to run, when `dir` is not a folder: a name of the Hugging
/// Face hub, a GGUF file, what scripts/get_smollm2.sh would make, nothing.
void check_model_folder(const std::string& dir);

/// Reads DIR/config.json. Throws UserError for a missing file, another architecture, a biased
/// projection, an unknown RoPE type or a shape that does not fit together.
ModelShape read_hf_config(const std::string& dir);

/// The same without a file: `name` stands for it in messages.
ModelShape parse_hf_config(const std::string& text, const std::string& name);

}  // namespace lococo
