#include "dist/communicator.h"

#include <ATen/Parallel.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>

#include "core/error.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/user_error.h"
#include "train/signals.h"

namespace lococo {
namespace {

// Sets a variable of the environment for one scope.
class ScopedVariable {
 public:
  ScopedVariable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~ScopedVariable() { unsetenv(name_); }

 private:
  const char* name_;
};

// Runs `body` in a child process; its exit code and what it wrote to stderr.
struct ChildResult {
  int exit_code = -1;
  std::string errors;
};

ChildResult run_in_child(const std::function<void()>& body) {
  int channel[2];
  REQUIRE(pipe(channel) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    dup2(channel[1], STDERR_FILENO);
    body();
    _exit(0);
  }
  close(channel[1]);
  ChildResult result;
  char buffer[256];
  for (ssize_t count; (count = read(channel[0], buffer, sizeof buffer)) > 0;) {
    result.errors.append(buffer, static_cast<size_t>(count));
  }
  close(channel[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  return result;
}

}  // namespace

TEST_CASE("A program started alone is rank 0 of 1 and reduces to what it has",
          "[train][communicator]") {
  const DistributedConfig config;
  const ProcessRanks ranks = join_ranks(config);
  CHECK(ranks.rank == 0);
  CHECK(ranks.size == 1);
  const auto communicator = make_communicator(config, torch::kCPU);
  CHECK(communicator->rank() == 0);
  CHECK(communicator->size() == 1);
  CHECK(communicator->local_rank() == 0);
  CHECK(communicator->is_main());
  std::vector<torch::Tensor> tensors = {torch::full({3}, 2.5f), torch::tensor({7, -9})};
  communicator->all_reduce_sum(tensors);
  CHECK(torch::equal(tensors[0], torch::full({3}, 2.5f)));
  CHECK(torch::equal(tensors[1], torch::tensor({7, -9})));
  communicator->reduce_scatter_sum(tensors[0]);
  communicator->all_gather(tensors[0]);
  CHECK(torch::equal(tensors[0], torch::full({3}, 2.5f)));
  CHECK(communicator->all_reduce_sum_int(5) == 5);
  CHECK(communicator->all_reduce_max_int(-5) == -5);
  std::vector<double> values = {0.25};
  std::vector<int64_t> counts = {7};
  communicator->all_reduce_sum_numbers(values, counts);
  CHECK(values == std::vector<double>{0.25});
  CHECK(counts == std::vector<int64_t>{7});
  CHECK(communicator->broadcast_text("checkpoint", 0) == "checkpoint");
  communicator->barrier();
}

TEST_CASE("Impossible backends and devices are the user's to mend", "[train][communicator]") {
  DistributedConfig config;
  SECTION("NCCL on CPUs") {
    config.backend = CommBackend::kNccl;
    const std::string error =
        testing::user_error_of([&] { make_communicator(config, torch::kCPU); });
    CHECK_CONTAINS(error, "distributed.backend: nccl");
  }
  SECTION("several processes, each told to train alone") {
    const ScopedVariable launched("OMPI_COMM_WORLD_SIZE", "2");
    config.backend = CommBackend::kSingle;
    const std::string error = testing::user_error_of([&] { join_ranks(config); });
    CHECK_CONTAINS(error, "distributed.backend: single");
  }
  SECTION("no such device") {
    for (const char* name : {"gpu", "cuda:", "cuda:x", "cuda:1x", "cuda:99", "cuda:-1", "CUDA"}) {
      config.device = name;
      INFO(name);
      CHECK_THROWS_AS(pick_device(config, 0), UserError);
    }
  }
  SECTION("more ranks than GPUs") {
    config.device = "cuda";
    CHECK_THROWS_AS(pick_device(config, 4096), UserError);
  }
}

TEST_CASE("A launcher that started one process needs no MPI", "[train][communicator]") {
  const ScopedVariable launched("OMPI_COMM_WORLD_SIZE", "1");
  const ScopedVariable rank("PMIX_RANK", "0");
  CHECK(join_ranks(DistributedConfig{}).size == 1);
}

TEST_CASE("The device is the one that was asked for", "[train][communicator]") {
  DistributedConfig config;
  config.device = "cpu";
  CHECK(pick_device(config, 3) == torch::Device(torch::kCPU));
  config.device = "auto";
  const torch::DeviceType expected = torch::cuda::is_available() ? torch::kCUDA : torch::kCPU;
  CHECK(pick_device(config, 0).type() == expected);
}

TEST_CASE("Threads are those of the config or a fair share of the cores", "[train][communicator]") {
  const int before = at::get_num_threads();
  DistributedConfig config;
  config.threads = 1;
  CHECK(set_threads(config, 1) == 1);
  CHECK(at::get_num_threads() == 1);
  config.threads = 0;
  CHECK(set_threads(config, 1) >= 1);
  CHECK(set_threads(config, 1 << 20) == 1);
  at::set_num_threads(before);
}

TEST_CASE("A rank that fails says which rank, which step and why, and ends with the code",
          "[train][communicator]") {
  const ChildResult result = run_in_child([] {
    const auto communicator = make_communicator(DistributedConfig{}, torch::kCPU);
    abort_all_ranks(*communicator, 12, "the loss is not finite", 3);
  });
  CHECK(result.exit_code == 3);
  CHECK_CONTAINS(result.errors, "rank 0: step 12: the loss is not finite");
}

TEST_CASE("The first signal only sets a flag", "[train][signals]") {
  for (int signal : {SIGUSR1, SIGTERM, SIGINT}) {
    const ChildResult result = run_in_child([signal] {
      install_signal_handlers();
      if (pending_signal().has_value()) _exit(90);
      std::raise(signal);
      if (pending_signal() != signal) _exit(91);
      std::raise(SIGUSR1);
      if (pending_signal() != signal) _exit(92);  // the first one stays
      clear_pending_signal();
      if (pending_signal().has_value()) _exit(93);
      _exit(7);
    });
    CHECK(result.exit_code == 7);
  }
}

TEST_CASE("A second SIGTERM or SIGINT ends the process at once", "[train][signals]") {
  for (int second : {SIGTERM, SIGINT}) {
    const ChildResult result = run_in_child([second] {
      install_signal_handlers();
      std::raise(SIGUSR1);
      std::raise(SIGTERM);  // after SIGUSR1 still the first request to end
      if (pending_signal() != SIGUSR1) _exit(90);
      std::raise(second);
      _exit(91);
    });
    CHECK(result.exit_code == 128 + second);
  }
}

}  // namespace lococo
