// Messages between two ranks over MPI.
#pragma once

#include <memory>

#include "dist/communicator_mpi.h"

namespace lococo {

/// Messages between the ranks of `group`, which it makes a copy of: a collective call. Tensors of a
/// GPU go through host memory.
std::unique_ptr<Channel> make_mpi_channel(const MpiGroup& group);

}  // namespace lococo
