#include "core/launcher.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <thread>

#include "core/error.h"

namespace lococo {
namespace {

// Of Open MPI, MPICH's hydra and Slurm's PMI plugins.
constexpr const char* kSizeVariables[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"};
constexpr const char* kRankVariables[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};

}  // namespace

int launched_rank() {
  for (const char* name : kRankVariables) {
    if (const char* rank = std::getenv(name)) return std::atoi(rank);
  }
  return 0;
}

void wait_for_rank_0_to_tell() { std::this_thread::sleep_for(std::chrono::seconds(20)); }

void let_rank_0_tell() {
  if (launched_rank() != 0) wait_for_rank_0_to_tell();
}

bool launched_with_others() {
  for (const char* name : kSizeVariables) {
    if (const char* size = std::getenv(name)) return std::atoi(size) > 1;
  }
  return std::getenv("PMIX_RANK") != nullptr || std::getenv("PMI_RANK") != nullptr;
}

int64_t launched_ranks() {
  for (const char* name : kSizeVariables) {
    if (const char* size = std::getenv(name)) return std::max(1, std::atoi(size));
  }
  const char* tasks = std::getenv("SLURM_NTASKS");
  return launched_with_others() && tasks != nullptr ? std::max(1, std::atoi(tasks)) : 1;
}

void check_launched_alone(const std::string& what) {
  if (launched_ranks() == 1) return;
  let_rank_0_tell();
  throw UserError(what + " as one process; start it without mpirun");
}

}  // namespace lococo
