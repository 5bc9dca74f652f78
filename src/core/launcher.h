// What a launcher of several processes leaves in their environment.
#pragma once

namespace lococo {

/// This process' rank as Open MPI, MPICH's hydra or Slurm's PMI give it, before ranks have joined;
/// 0 without a launcher.
int launched_rank();

}  // namespace lococo
