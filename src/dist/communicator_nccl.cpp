#include "dist/communicator_nccl.h"

#include <stdexcept>

#if defined(LOCOCO_WITH_MPI) && defined(USE_C10D_NCCL)
#include <c10/core/impl/VirtualGuardImpl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <string>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <vector>

#include "core/log.h"
#include "tensor/kit/torch.h"
#endif

namespace lococo {

#if defined(LOCOCO_WITH_MPI) && defined(USE_C10D_NCCL)

namespace {

// How long NCCL waits for a rank. The watch of the ranks (rank_watch.h) comes first: it says in one
// line what NCCL says in many. A rank that dies ends all at once, through mpirun.
std::chrono::seconds patience_of_nccl(int64_t timeout_s) {
  constexpr std::chrono::hours kForEver{24 * 365};
  constexpr std::chrono::minutes kLeast{30}, kLonger{5};
  if (timeout_s == 0) return kForEver;
  return std::max<std::chrono::seconds>(kLeast, std::chrono::seconds(timeout_s) + kLonger);
}

std::string own_address(const ProcessRanks& ranks) {
  if (ranks.local_size == ranks.size) return "127.0.0.1";
  char host[256] = {};
  TORCH_CHECK(gethostname(host, sizeof host - 1) == 0, "gethostname failed");
  return host;
}

using Store = c10::intrusive_ptr<c10d::Store>;

// A store of the world's, found by the others through rank 0. Its own port is free because the
// system chose it.
Store make_store(MpiCommunicator& world, const ProcessRanks& ranks, int64_t timeout_s) {
  c10d::TCPStoreOptions options;
  options.numWorkers = ranks.size;
  options.waitWorkers = false;  // the others do not know the address yet
  options.timeout = patience_of_nccl(timeout_s);
  std::string address;
  c10::intrusive_ptr<c10d::TCPStore> server;
  if (ranks.rank == 0) {
    address = own_address(ranks);
    options.port = 0;
    options.isServer = true;
    server = c10::make_intrusive<c10d::TCPStore>(address, options);
    address += " " + std::to_string(server->getPort());
  }
  address = world.broadcast_text(address, /*root=*/0);
  if (ranks.rank == 0) return server;
  const size_t space = address.find(' ');
  options.port = static_cast<uint16_t>(std::stoi(address.substr(space + 1)));
  return c10::make_intrusive<c10d::TCPStore>(address.substr(0, space), options);
}

// A group of NCCL on one device, which ends with this.
class NcclGroup {
 public:
  NcclGroup(Store store, const ProcessRanks& ranks, torch::Device device)
      : device_(device),
        store_(std::move(store)),
        exceptions_at_start_(std::uncaught_exceptions()) {
    // 3: an error or a timeout in NCCL ends this process, upon which mpirun ends the others.
    setenv("TORCH_NCCL_ASYNC_ERROR_HANDLING", "3", /*overwrite=*/0);
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = store_->getTimeout();
    group_ = c10::make_intrusive<c10d::ProcessGroupNCCL>(store_, ranks.rank, ranks.size, options);
  }
  ~NcclGroup() {
    try {
      if (std::uncaught_exceptions() > exceptions_at_start_) {
        group_->abort();
      } else {
        c10::impl::VirtualGuardImpl(device_.type()).synchronizeDevice(device_.index());
        group_->shutdown();
      }
    } catch (const std::exception& error) {
      log_error(std::string("closing NCCL failed: ") + error.what());
    }
  }
  NcclGroup(const NcclGroup&) = delete;
  NcclGroup& operator=(const NcclGroup&) = delete;

  c10d::ProcessGroupNCCL* operator->() { return group_.get(); }

 private:
  torch::Device device_;
  Store store_;  // which the group needs until it is gone
  int exceptions_at_start_;
  c10::intrusive_ptr<c10d::ProcessGroupNCCL> group_;
};

class NcclMessage : public Message {
 public:
  explicit NcclMessage(c10::intrusive_ptr<c10d::Work> work) : work_(std::move(work)) {}
  // It makes the current stream wait, not this thread.
  void wait() override {
    if (work_) work_->wait();
    work_.reset();
  }

 private:
  c10::intrusive_ptr<c10d::Work> work_;
};

// LibTorch warns where messages make a connection of their two ranks alone, which is what a channel
// is for.
class NoWarnings {
 private:
  class Dropped : public c10::WarningHandler {
    void process(const c10::Warning&) override {}
  };

  Dropped dropped_;
  c10::WarningUtils::WarningHandlerGuard guard_{&dropped_};
};

// NCCL runs messages of two ranks on a stream of the group's that waits for what the current
// stream was given before.
class NcclChannel : public Channel {
 public:
  NcclChannel(const Store& store, const ProcessRanks& ranks, torch::Device device)
      : group_(store, ranks, device) {
    connect_neighbours(ranks, device);
  }

  std::unique_ptr<Message> send(const torch::Tensor& tensor, int to) override {
    const NoWarnings quiet;
    std::vector<torch::Tensor> sent = {tensor.detach()};
    return std::make_unique<NcclMessage>(group_->send(sent, to, /*tag=*/0));
  }
  std::unique_ptr<Message> receive(torch::Tensor& tensor, int from) override {
    const NoWarnings quiet;
    std::vector<torch::Tensor> received = {tensor.detach()};
    return std::make_unique<NcclMessage>(group_->recv(received, from, /*tag=*/0));
  }

 private:
  // NCCL connects two ranks at their first message, for which each waits. Two that begin with
  // different channels would wait for ever, so neighbours meet here, in the same order everywhere.
  void connect_neighbours(const ProcessRanks& ranks, torch::Device device) {
    auto nothing = torch::zeros({1}, device);
    for (int left = 0; left + 1 < ranks.size; ++left) {
      if (ranks.rank == left) send(nothing, left + 1)->wait();
      if (ranks.rank == left + 1) receive(nothing, left)->wait();
    }
  }

  NcclGroup group_;
};

class NcclCommunicator : public MpiCommunicator {
 public:
  // All ranks, over a store that is made here.
  NcclCommunicator(const ProcessRanks& ranks, torch::Device device, int64_t timeout_s)
      : MpiCommunicator(mpi_world(ranks)),
        device_(device),
        store_(make_store(*this, ranks, timeout_s)),
        group_(std::make_unique<NcclGroup>(store_, ranks, device)) {
    connect();
  }
  // `store`: of this group alone.
  NcclCommunicator(const MpiGroup& group, torch::Device device, Store store)
      : MpiCommunicator(group),
        device_(device),
        store_(std::move(store)),
        group_(std::make_unique<NcclGroup>(store_, group.ranks, device)) {
    connect();
  }

  // The store of the world lives with rank 0, until the group is shut down everywhere; the base
  // class then ends MPI.
  ~NcclCommunicator() override {
    group_.reset();
    if (!is_unwinding()) barrier();
  }

  std::unique_ptr<Communicator> split(int color) override {
    const MpiGroup part = split_group(group(), color);
    const Store store = own_store("part " + std::to_string(color));
    // Nobody to talk to: what MPI's does then is nothing.
    if (part.ranks.size == 1) return std::make_unique<MpiCommunicator>(part);
    return std::make_unique<NcclCommunicator>(part, device_, store);
  }

  std::unique_ptr<Channel> open_channel(const std::string&) override {
    return std::make_unique<NcclChannel>(own_store("channel"), group().ranks, device_);
  }

  void broadcast(torch::Tensor& tensor, int root) override {
    if (tensor.is_cpu()) return MpiCommunicator::broadcast(tensor, root);
    torch::NoGradGuard no_grad;
    std::vector<torch::Tensor> sent = {tensor.detach().contiguous()};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    (*group_)->broadcast(sent, options)->wait();
    if (sent[0].data_ptr() != tensor.data_ptr()) tensor.detach().copy_(sent[0]);
  }

  // Both in place, which NCCL does where the own part lies in its place.
  void reduce_scatter_sum(torch::Tensor& flat) override {
    torch::Tensor own = own_part(flat);
    (*group_)->_reduce_scatter_base(own, flat)->wait();
  }

  void all_gather(torch::Tensor& flat) override {
    torch::Tensor own = own_part(flat);
    (*group_)->_allgather_base(flat, own)->wait();
  }

 protected:
  // wait() makes the current stream wait, not this thread.
  void sum_buffers(std::vector<torch::Tensor>& buffers) override {
    for (const torch::Tensor& buffer : buffers) {
      TORCH_CHECK(buffer.device() == device_, "all_reduce_sum: a tensor on ", buffer.device(),
                  ", but this rank has ", device_);
    }
    (*group_)->allreduce_coalesced(buffers)->wait();
  }

 private:
  torch::Tensor own_part(const torch::Tensor& flat) const {
    const int64_t part = part_length(flat);
    TORCH_CHECK(flat.device() == device_, "a tensor of equal parts on ", flat.device(),
                ", but this rank has ", device_);
    return flat.narrow(/*dim=*/0, rank() * part, part);
  }

  // Every call gives another part of the store, the same on all ranks.
  Store own_store(const std::string& name) {
    return c10::make_intrusive<c10d::PrefixStore>(std::to_string(parts_++) + " " + name, store_);
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
  Store store_;
  int parts_ = 0;
  std::unique_ptr<NcclGroup> group_;
};

}  // namespace

bool built_with_nccl() { return true; }

std::unique_ptr<Communicator> make_nccl_communicator(const ProcessRanks& ranks,
                                                     torch::Device device, int64_t timeout_s) {
  return std::make_unique<NcclCommunicator>(ranks, device, timeout_s);
}

#else

bool built_with_nccl() { return false; }

std::unique_ptr<Communicator> make_nccl_communicator(const ProcessRanks&, torch::Device, int64_t) {
  throw std::logic_error("built without NCCL");
}

#endif

}  // namespace lococo
