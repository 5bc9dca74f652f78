// What an optimizer that is divided over ranks must do, whatever carries its collectives.
#pragma once

#include <torch/types.h>

#include "dist/communicator.h"

namespace lococo::testing {

/// Trains a few parameters with and without sharding, hands states from one to the other and
/// compares: on a CPU bit for bit. A difference ends all ranks with code 1.
void check_sharding(Communicator& communicator, torch::Device device);

}  // namespace lococo::testing
