// What every communicator must do, whatever carries it.
#pragma once

#include <torch/types.h>

#include "dist/communicator.h"

namespace lococo::testing {

/// Runs every collective on tensors of `device`; any number of ranks. A wrong result ends all ranks
/// with code 1.
void check_collectives(Communicator& communicator, torch::Device device);

}  // namespace lococo::testing
