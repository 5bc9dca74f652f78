// Everything lococo-generate does.
#pragma once

#include <torch/types.h>

#include <string>

#include "core/config.h"

namespace lococo {

/// The continuation of config.generate's prompt, without the prompt, by the config's model and
/// cache policy on `device`. The prompt begins with BOS where data.add_bos asks for it. Throws
/// UserError.
std::string generate_text(const Config& config, torch::Device device);

/// Prints it. Returns the process's exit code.
int run_generation(const Config& config);

}  // namespace lococo
