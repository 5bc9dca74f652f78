// Collectives of GPU tensors over NCCL, bootstrapped over MPI.
#pragma once

#include <memory>

#include "dist/communicator_mpi.h"

namespace lococo {

bool built_with_nccl();

/// NCCL over all ranks, each on its own `device` (a GPU, already the current one). Rank 0 opens a
/// key-value store on a free port of its host and tells the others over MPI. `timeout_s`: after
/// which the ranks are ended by other means, 0 for never; NCCL itself waits for longer. Needs
/// built_with_nccl() and a started MPI.
std::unique_ptr<Communicator> make_nccl_communicator(const ProcessRanks& ranks,
                                                     torch::Device device, int64_t timeout_s);

}  // namespace lococo
