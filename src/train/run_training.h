// Everything lococo-train does.
#pragma once

#include "config/config.h"

namespace lococo {

/// Ranks, device, model, data, training. Returns the process's exit
/// code: 0, or exit_code_of() the signal that asked it to save and stop. With several ranks an
/// exception on one ends all of them.
int run_training(const Config& config);

}  // namespace lococo
