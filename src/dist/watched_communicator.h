// A communicator whose waits are noted and end after a time.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>

#include "dist/communicator.h"

namespace lococo {

/// All ranks, as `world`, whose every operation, and that of its parts and channels, ends all ranks
/// when one of them does not come for `timeout_s` seconds (RankWatch). One rank or 0 seconds:
/// `world` as it is. A collective call. `device`: of the tensors.
std::unique_ptr<Communicator> watch_ranks(std::unique_ptr<Communicator> world, int64_t timeout_s,
                                          torch::Device device);

}  // namespace lococo
