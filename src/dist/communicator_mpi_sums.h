// Sums over ranks that add in the order of the ranks, where MPI's own may add in any. All ranks
// call them together; `group` is the handle of their MPI communicator.
#pragma once

#include <torch/types.h>

#include <cstdint>

namespace lococo {

/// Replaces every element by its sum over `size` ranks. `host`: float32 or int64, contiguous, on
/// the CPU.
void mpi_sum(const torch::Tensor& host, int size, int group);

/// Of `size` parts of `part` numbers, replaces the one of this rank by its sum; the others stay as
/// they are.
void mpi_sum_own_part(float* values, int64_t part, int rank, int size, int group);

/// Fills the parts of the other ranks with what they have there.
void mpi_gather_parts(float* values, int64_t part, int rank, int size, int group);

}  // namespace lococo
