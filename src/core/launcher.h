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

/// Before a fault is told that all processes find, each by itself: rank 0 tells it, upon which the
/// launcher ends the others, which wait here. One that has not been ended after 20 s tells it too.
void let_rank_0_tell();

/// For a tool that does all its work in one process: throws UserError, which `what` begins
/// ("lococo-export runs"), where a launcher started several, after let_rank_0_tell().
void check_launched_alone(const std::string& what);

}  // namespace lococo
