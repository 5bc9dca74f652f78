// A base model and what was tuned on it, as folders.
#pragma once

#include <string>

#include "config/config.h"
#include "tests/support/tiny_llama.h"

namespace lococo::testing {

/// Writes a Hugging Face folder with a random model and returns `dir`.
std::string write_base(const std::string& dir, const ModelShape& shape = tiny_shape());

/// A run on `base` under tiny_cache(), on the CPU; nothing is trained yet.
Config config_on(const std::string& base);

/// Saves OUTPUT/step-N of a run as the config says, with LoRA and convolutions moved from their
/// start; returns the folder.
std::string write_checkpoint(const Config& config, const std::string& output, int64_t step = 1);

}  // namespace lococo::testing
