#include "dist/communicator_nccl.h"

#include <stdexcept>

#if defined(LOCOCO_WITH_MPI) && defined(USE_C10D_NCCL)
#include <c10/core/impl/VirtualGuardImpl.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <string>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <vector>

#include "core/log.h"
#include "tensor/kit/torch.h"
#endif

namespace lococo {

#if defined(LOCOCO_WITH_MPI) && defined(USE_C10D_NCCL)

namespace {

// How long a rank waits for another one that lives but does not come, for example because rank 0
// evaluates or writes a checkpoint alone. A rank that dies ends all at once, through mpirun.
constexpr std::chrono::minutes kTimeout{30};

std::string own_address(const ProcessRanks& ranks) {
  if (ranks.local_size == ranks.size) return "127.0.0.1";
  char host[256] = {};
  TORCH_CHECK(gethostname(host, sizeof host - 1) == 0, "gethostname failed");
  return host;
}

class NcclCommunicator : public MpiCommunicator {
 public:
  NcclCommunicator(const ProcessRanks& ranks, torch::Device device)
      : MpiCommunicator(ranks), device_(device), store_(make_store(ranks)) {
    // 3: an error or a timeout in NCCL ends this process, upon which mpirun ends the others.
    setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "3", /*overwrite=*/0);
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = kTimeout;
    group_ = c10::make_intrusive<c10d::ProcessGroupNCCL>(store_, ranks.rank, ranks.size, options);
    connect();
  }

  // The group needs the store until it is shut down everywhere; the base class then ends MPI.
  ~NcclCommunicator() override {
    try {
      if (is_unwinding()) {
        group_->abort();
      } else {
        c10::impl::VirtualGuardImpl(device_.type()).synchronizeDevice(device_.index());
        group_->shutdown();
      }
      group_.reset();
      if (!is_unwinding()) barrier();
      store_.reset();
    } catch (const std::exception& error) {
      log_error(std::string("closing NCCL failed: ") + error.what());
    }
  }

  void broadcast(torch::Tensor& tensor, int root) override {
    if (tensor.is_cpu()) return MpiCommunicator::broadcast(tensor, root);
    torch::NoGradGuard no_grad;
    std::vector<torch::Tensor> sent = {tensor.detach().contiguous()};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    group_->broadcast(sent, options)->wait();
    if (sent[0].data_ptr() != tensor.data_ptr()) tensor.detach().copy_(sent[0]);
  }

  // Both in place, which NCCL does where the own part lies in its place.
  void reduce_scatter_sum(torch::Tensor& flat) override {
    torch::Tensor own = own_part(flat);
    group_->_reduce_scatter_base(own, flat)->wait();
  }

  void all_gather(torch::Tensor& flat) override {
    torch::Tensor own = own_part(flat);
    group_->_allgather_base(flat, own)->wait();
  }

 protected:
  // wait() makes the current stream wait, not this thread.
  void sum_buffers(std::vector<torch::Tensor>& buffers) override {
    for (const torch::Tensor& buffer : buffers) {
      TORCH_CHECK(buffer.device() == device_, "all_reduce_sum: a tensor on ", buffer.device(),
                  ", but this rank has ", device_);
    }
    group_->allreduce_coalesced(buffers)->wait();
  }

 private:
  torch::Tensor own_part(const torch::Tensor& flat) const {
    const int64_t part = part_length(flat);
    TORCH_CHECK(flat.device() == device_, "a tensor of equal parts on ", flat.device(),
                ", but this rank has ", device_);
    return flat.narrow(/*dim=*/0, rank() * part, part);
  }

  // Rank 0's own port is free because the system chose it.
  c10::intrusive_ptr<c10d::Store> make_store(const ProcessRanks& ranks) {
    c10d::TCPStoreOptions options;
    options.numWorkers = ranks.size;
    options.waitWorkers = false;  // the others do not know the address yet
    options.timeout = kTimeout;
    std::string address;
    c10::intrusive_ptr<c10d::TCPStore> server;
    if (ranks.rank == 0) {
      address = own_address(ranks);
      options.port = 0;
      options.isServer = true;
      server = c10::make_intrusive<c10d::TCPStore>(address, options);
      address += " " + std::to_string(server->getPort());
    }
    address = broadcast_text(address, /*root=*/0);
    if (ranks.rank == 0) return server;
    const size_t space = address.find(' ');
    options.port = static_cast<uint16_t>(std::stoi(address.substr(space + 1)));
    return c10::make_intrusive<c10d::TCPStore>(address.substr(0, space), options);
  }

  // NCCL connects at the first collective: better here than after the model has been loaded.
  void connect() {
    std::vector<torch::Tensor> ones = {
        torch::ones({1}, torch::device(device_).dtype(torch::kFloat32))};
    sum_buffers(ones);
    const double sum = ones[0].item<double>();
    TORCH_CHECK(sum == size(), "NCCL sums ", size(), " ones to ", sum);
  }

  torch::Device device_;
  c10::intrusive_ptr<c10d::Store> store_;
  c10::intrusive_ptr<c10d::ProcessGroupNCCL> group_;
};

}  // namespace

bool built_with_nccl() { return true; }

std::unique_ptr<Communicator> make_nccl_communicator(const ProcessRanks& ranks,
                                                     torch::Device device) {
  return std::make_unique<NcclCommunicator>(ranks, device);
}

#else

bool built_with_nccl() { return false; }

std::unique_ptr<Communicator> make_nccl_communicator(const ProcessRanks&, torch::Device) {
  throw std::logic_error("built without NCCL");
}

#endif

}  // namespace lococo
