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

/// This process' rank among them; 0 without one.
int launched_rank();

/// For a rank that has found a fault which every rank finds by itself: rank 0 tells it, upon which
/// the launcher ends the others. One that has not been ended after 20 s tells it too.
void wait_for_rank_0_to_tell();

/// The same before the ranks have met: returns at once in launched_rank() 0.
void let_rank_0_tell();

/// For a tool that does all its work in one process: throws UserError, which `what` begins
/// ("lococo-export runs"), where a launcher started several, after let_rank_0_tell().
void check_launched_alone(const std::string& what);

}  // namespace lococo
