// ModelShape -> Hugging Face's config.json; hf_config.h has the way back.
#pragma once

#include <string>

#include "core/model_shape.h"

namespace lococo {

/// Writes DIR/config.json so that transformers 4.3x (old spelling) and 5.x (new spelling) both read
/// it, RoPE scaling included. `dtype` is the Hugging Face name of the weights' type ("float32",
/// "bfloat16").
void write_hf_config(const std::string& dir, const ModelShape& shape, const std::string& dtype);

/// The same as text.
std::string hf_config_to_json(const ModelShape& shape, const std::string& dtype);

}  // namespace lococo
