// Everything lococo-generate does.
#pragma once

#include <torch/types.h>

#include <functional>
#include <string>

#include "config/config.h"
#include "pipeline/pipeline.h"

namespace lococo {

/// Continues config.generate's prompt by the config's model and cache policy on `device`, and hands
/// the continuation, without the prompt, to `write` as it is made: pieces of text that are valid
/// UTF-8 each, or token ids with a space between them. Logs what runs and how far the prompt is,
/// and returns a line about speed and memory. Throws UserError.
///
/// `pipeline`: the stages of one model, all of which call this. The first one, rank 0, reads the
/// prompt and writes; null: one process.
std::string generate_text(const Config& config, torch::Device device,
                          const std::function<void(const std::string&)>& write,
                          Pipeline* pipeline = nullptr);

/// Throws what run_generation() would throw for what is asked, as far as that needs neither the
/// model nor standard input. What --dry-run does.
void check_generation(const Config& config);

/// Prints it, each piece at once; without a prompt in the config it is standard input. Returns the
/// process's exit code.
int run_generation(const Config& config);

}  // namespace lococo
