// What a run will train and need, told before any of it is built.
#pragma once

#include <torch/types.h>

#include <string>

#include "config/config.h"

namespace lococo {

/// The parameters by group, the RoPE scaling and an estimate of the memory of one GPU (of a
/// pipeline the one that needs the most), with a warning when this machine has less; builds and
/// loads nothing: what --dry-run prints.
std::string describe_run(const Config& config);

/// Logs a warning when a training as the config says needs more memory than `device` has, on any
/// stage of a pipeline.
void warn_about_memory(const Config& config, torch::Device device);

}  // namespace lococo
