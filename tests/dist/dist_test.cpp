// Several ranks on CPUs. The first argument says what they do; tests/dist/failures_test.py runs
// those that end badly.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "core/error.h"
#include "core/progress_count.h"
#include "dist/activity.h"
#include "tests/dist/check.h"
#include "tests/dist/collectives.h"
#include "tests/dist/sharding.h"
#include "train/signals.h"

namespace lococo {
namespace {

void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path + ".tmp") << text;
  std::rename((path + ".tmp").c_str(), path.c_str());
}

// A training loop in miniature: steps of 20 ms, each with a collective, until a signal is known to
// all ranks; then a slow save. FOLDER/pid.RANK appears at the start, FOLDER/saved.RANK at the end.
void train_until_signal(Communicator& communicator, const std::string& folder) {
  const std::string rank = std::to_string(communicator.rank());
  install_signal_handlers();
  communicator.barrier();
  write_file(folder + "/pid." + rank, std::to_string(getpid()));
  for (int64_t step = 1; step < 5000; ++step) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (communicator.all_reduce_max_int(pending_signal().has_value()) == 0) continue;
    std::this_thread::sleep_for(std::chrono::seconds(3));
    write_file(folder + "/saved." + rank, std::to_string(step));
    return;
  }
  throw std::runtime_error("no signal came");
}

// The last rank fails at step 3 while the others wait for it in a collective.
void fail_at_step(Communicator& communicator, const std::string& how) {
  for (int64_t step = 1;; ++step) {
    if (step == 3 && communicator.rank() == communicator.size() - 1) {
      if (how == "user-error") throw UserError("data.train: the file ends early");
      if (how == "exit") std::_Exit(5);
      throw std::runtime_error("the loss is not finite");
    }
    communicator.barrier();
  }
}

// The last rank comes late to the third step, and the others wait for it: for ever where it hangs,
// for twice the timeout where it comes on all the while, for half of it where it is slow.
void come_late(Communicator& communicator, const std::string& how, double timeout_s) {
  const auto part = std::chrono::duration<double>(timeout_s / 10);
  for (int64_t step = 1; step <= 4; ++step) {
    note_step(step);
    const bool is_late = step == 3 && communicator.rank() == communicator.size() - 1;
    for (int i = 0; is_late && (how == "hang" || i < (how == "slow" ? 5 : 20)); ++i) {
      std::this_thread::sleep_for(part);
      if (how == "progress") note_progress();
    }
    communicator.barrier();
  }
}

int run(const std::string& what, const std::string& argument) {
  DistributedConfig config;
  if (const char* timeout = std::getenv("LOCOCO_TEST_TIMEOUT"))
    config.timeout_s = std::atoll(timeout);
  if (what == "leave-before") throw UserError("train.output: missing");
  const ProcessRanks ranks = join_ranks(config);
  if (what == "leave-early") throw UserError("train.output: missing");
  set_threads(config, ranks.local_size);
  const auto communicator = make_communicator(config, torch::kCPU);
  if (communicator->size() < 2) throw UserError("start with mpirun -np 2 or more");
  if (what == "unwind") {  // no handler around the loop: main's own handler ends the rank
    fail_at_step(*communicator, argument);
  } else if (what == "signal") {
    train_until_signal(*communicator, argument);
  } else if (what == "late") {
    come_late(*communicator, argument, static_cast<double>(config.timeout_s));
  } else if (what == "fail") {
    try {
      fail_at_step(*communicator, argument);
    } catch (const UserError& error) {
      abort_all_ranks(*communicator, 3, error.what(), 2);
    } catch (const std::exception& error) {
      abort_all_ranks(*communicator, 3, error.what(), 1);
    }
  } else {
    testing::check_collectives(*communicator, torch::kCPU);
    testing::check_sharding(*communicator, torch::kCPU);
  }
  return 0;
}

}  // namespace
}  // namespace lococo

int main(int argc, char** argv) {
  try {
    return lococo::run(argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : "");
  } catch (const lococo::UserError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
