#include "dist/communicator.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <sched.h>
#include <torch/cuda.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <thread>

#include "core/error.h"
#include "core/launcher.h"
#include "core/log.h"
#include "dist/communicator_mpi.h"
#include "dist/communicator_nccl.h"
#include "dist/watched_communicator.h"

namespace lococo {
namespace {

class SingleCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  int local_rank() const override { return 0; }
  int local_size() const override { return 1; }
  void all_reduce_sum(std::vector<torch::Tensor>&) override {}
  void reduce_scatter_sum(torch::Tensor&) override {}
  void all_gather(torch::Tensor&) override {}
  int64_t all_reduce_sum_int(int64_t value) override { return value; }
  int64_t all_reduce_max_int(int64_t value) override { return value; }
  void all_reduce_sum_numbers(std::vector<double>&, std::vector<int64_t>&) override {}
  void broadcast(torch::Tensor&, int) override {}
  std::string broadcast_text(const std::string& text, int) override { return text; }
  void barrier() override {}
  std::unique_ptr<Communicator> split(int) override { return make_single_communicator(); }
  std::unique_ptr<Channel> open_channel(const std::string&) override {
    throw std::logic_error("one rank has nobody to send to");
  }
  [[noreturn]] void abort(int code) override {
    std::fflush(nullptr);
    std::_Exit(code);
  }
};

int64_t usable_cores() {
  cpu_set_t cores;
  if (sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
  return std::max(1u, std::thread::hardware_concurrency());
}

// Every rank must see the same answer, so that all of them throw or none does.
void check_devices(bool nccl, torch::Device device) {
  for (int64_t is_gpu : mpi_all_gather(device.is_cuda(), /*on_this_host=*/false)) {
    if (is_gpu != device.is_cuda()) {
      throw UserError(
          "distributed.device: some ranks run on GPUs and some on CPUs; give every host a GPU for "
          "each of its ranks, or set distributed.device: cpu");
    }
  }
  if (!nccl) return;
  const std::vector<int64_t> gpus = mpi_all_gather(device.index(), /*on_this_host=*/true);
  const bool shared = std::set<int64_t>(gpus.begin(), gpus.end()).size() < gpus.size();
  for (int64_t other : mpi_all_gather(shared, /*on_this_host=*/false)) {
    if (other == 0) continue;
    throw UserError(
        "distributed.device: several ranks of a host share one GPU, which NCCL cannot do; set "
        "distributed.device: cuda and start one rank per GPU, or distributed.backend: mpi");
  }
}

}  // namespace

ProcessRanks join_ranks(const DistributedConfig& config) {
  if (!launched_with_others()) return {};
  if (config.backend == CommBackend::kSingle) {
    throw UserError(
        "distributed.backend: single, but a launcher started several processes; start the program "
        "without mpirun or set distributed.backend: auto");
  }
  if (!built_with_mpi()) {
    throw UserError(
        "a launcher started several processes, but this build has no MPI: install Open MPI's "
        "development files and build again, or start one process");
  }
  return start_mpi();
}

torch::Device pick_device(const DistributedConfig& config, int local_rank) {
  const std::string& name = config.device;
  const int64_t gpus = torch::cuda::is_available() ? torch::cuda::device_count() : 0;
  if (name == "cpu" || (name == "auto" && gpus == 0)) return torch::kCPU;
  int64_t index = local_rank;
  if (name.rfind("cuda:", 0) == 0 && name.size() > 5 && name.size() < 9 &&
      std::all_of(name.begin() + 5, name.end(), [](unsigned char c) { return std::isdigit(c); })) {
    index = std::stoll(name.substr(5));
  } else if (name != "auto" && name != "cuda") {
    throw UserError("distributed.device: \"" + name +
                    "\" is unknown; use auto, cpu, cuda or cuda:N");
  }
  if (index >= gpus) {
    throw UserError("distributed.device: " + name + " needs GPU " + std::to_string(index) +
                    " for local rank " + std::to_string(local_rank) + ", but this host has " +
                    std::to_string(gpus) +
                    " usable GPUs; start fewer ranks or set distributed.device: cpu");
  }
  const torch::Device device(torch::kCUDA, static_cast<c10::DeviceIndex>(index));
  c10::impl::VirtualGuardImpl(torch::kCUDA).setDevice(device);
  // float32 means float32: LibTorch lets cuDNN's convolutions round their inputs to 10 bits
  // otherwise.
  at::globalContext().setAllowTF32CuDNN(false);
  return device;
}

int64_t set_threads(const DistributedConfig& config, int local_size) {
  const int64_t threads = config.threads > 0
                              ? config.threads
                              : std::max<int64_t>(1, usable_cores() / std::max(1, local_size));
  at::set_num_threads(static_cast<int>(threads));
  return threads;
}

std::unique_ptr<Communicator> make_communicator(const DistributedConfig& config,
                                                torch::Device device) {
  const ProcessRanks ranks = join_ranks(config);
  const bool nccl = config.backend == CommBackend::kNccl ||
                    (config.backend == CommBackend::kAuto && device.is_cuda() && built_with_nccl());
  if (nccl && !built_with_nccl()) {
    throw UserError(
        "distributed.backend: nccl, but this build has none (it needs a CUDA build of LibTorch and "
        "MPI); set distributed.backend: mpi");
  }
  if (nccl && !device.is_cuda()) {
    throw UserError("distributed.backend: nccl needs GPUs; set distributed.backend: mpi");
  }
  if (!built_with_mpi() || !mpi_is_running()) return make_single_communicator();
  check_devices(nccl, device);
  return watch_ranks(
      nccl ? make_nccl_communicator(ranks, device, config.timeout_s) : make_mpi_communicator(ranks),
      config.timeout_s, device);
}

std::unique_ptr<Communicator> make_single_communicator() {
  return std::make_unique<SingleCommunicator>();
}

void abort_all_ranks(Communicator& communicator, int64_t step, const std::string& reason,
                     int code) {
  std::string place = "rank " + std::to_string(communicator.rank()) + ": ";
  if (step >= 0) place += "step " + std::to_string(step) + ": ";
  log_error(place + reason);
  communicator.abort(code);
  std::_Exit(code);  // not reached; compilers do not trust a virtual [[noreturn]]
}

}  // namespace lococo
