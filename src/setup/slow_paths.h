// What a device or a model lacks for the fast paths that a config asks for.
#pragma once

#include <torch/types.h>

#include "config/config.h"
#include "core/model_shape.h"

namespace lococo {

/// One line of the log each: bfloat16 on a CPU, model.base_precision fp8 whose products are made
/// dense, and convolutions that are the library's.
void note_slow_paths(const Config& config, const ModelShape& shape, torch::Device device);

}  // namespace lococo
