// What a launcher (mpirun, srun) has left in the environment. Asking MPI itself would initialise
// it.
#pragma once

#include <cstdint>
#include <string>

namespace lococo {

/// Whether a launcher started this process as one of several.
bool launched_with_others();

/// Processes that the launcher started together with this one, itself included; 1 without one.
int64_t launched_ranks();

/// For a tool that does all its work in one process: throws UserError, which `what` begins
/// ("lococo-export runs"), where a launcher started several. Rank 0 tells it, while the others wait
/// for their end; one that has not come after 20 s tells it itself.
void check_launched_alone(const std::string& what);

}  // namespace lococo
