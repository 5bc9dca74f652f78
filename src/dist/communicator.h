// What the processes of one training run say to each other, and which device and threads each one
// gets.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"

namespace lococo {

/// Where this process stands among the processes that a launcher started together.
struct ProcessRanks {
  int rank = 0;
  int size = 1;
  int local_rank = 0;  ///< among the processes of this host
  int local_size = 1;
};

/// Asks the launcher (mpirun, srun --mpi=...). Initialises MPI on the first call, but only when a
/// launcher started several processes. Throws UserError when it did and this build has no MPI, or
/// `backend` is single: each process would train alone into the same folder.
ProcessRanks join_ranks(const DistributedConfig& config);

/// The device that `config.device` names: auto is the GPU of this local rank, or the CPU where
/// there is no GPU. Makes it the current one, and float32 convolutions exact (no TF32). Throws
/// UserError for a GPU that is not there.
torch::Device pick_device(const DistributedConfig& config, int local_rank);

/// Sets the number of CPU threads of this process (config.threads, or the usable cores divided by
/// the ranks of this host) and returns it. Sums depend on it, so a bit-exact resume needs the same.
int64_t set_threads(const DistributedConfig& config, int local_size);

/// One tensor on its way to another rank or from there. Its memory must neither be freed nor, by
/// the receiver, be read, nor, by the sender, be written before wait().
class Message {
 public:
  virtual ~Message() = default;
  /// Returns when the message has left, or has come; with tensors of a GPU at once, and what the
  /// current stream does from here on comes after that.
  virtual void wait() = 0;
};

/// Messages between pairs of ranks, which overtake no other of their pair. Rank a sends to b as
/// often as b receives from a, tensors of the same sizes. Neither call waits for the other rank
/// (with tensors of a GPU: lets no other work of the GPU wait), but messages of one channel between
/// two ranks may wait for each other: what goes back and forth needs a channel for each direction.
class Channel {
 public:
  virtual ~Channel() = default;
  /// `tensor`: contiguous, any dtype, on the communicator's device.
  virtual std::unique_ptr<Message> send(const torch::Tensor& tensor, int to) = 0;
  virtual std::unique_ptr<Message> receive(torch::Tensor& tensor, int from) = 0;
};

/// Collective calls: every rank makes the same ones in the same order with tensors of the same
/// shapes. Methods that take or return numbers go over the host and never touch the GPU.
///
/// The destructor ends the communication in order and waits for the other ranks, unless an
/// exception is on its way: then it leaves at once, and the process must end with a non-zero code,
/// upon which the launcher ends the others.
class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual int local_rank() const = 0;
  virtual int local_size() const = 0;
  bool is_main() const { return rank() == 0; }

  /// Replaces each tensor by its sum over the ranks, in place, all float32 ones in ONE collective
  /// and all int64 ones (counts) in another; both may stand in one list, all on the communicator's
  /// device. Every rank gets the same bits. On CPUs the sum runs in rank order, so it is the same
  /// in every run with this number of ranks.
  virtual void all_reduce_sum(std::vector<torch::Tensor>& tensors) = 0;

  /// `flat`: contiguous, float32, 1-D, on the communicator's device; its N equal parts belong to
  /// the N ranks in their order. Afterwards a rank's own part holds the sum over the ranks and the
  /// others nothing of use: half of all_reduce_sum's work, with the same bits on CPUs.
  virtual void reduce_scatter_sum(torch::Tensor& flat) = 0;
  /// The other half: every rank's own part of such a tensor goes into everybody's, in place.
  virtual void all_gather(torch::Tensor& flat) = 0;

  virtual int64_t all_reduce_sum_int(int64_t value) = 0;
  virtual int64_t all_reduce_max_int(int64_t value) = 0;
  /// Replaces each number by its sum over the ranks, all in one collective: `values` added in rank
  /// order, `counts` exactly. Every rank gives as many.
  virtual void all_reduce_sum_numbers(std::vector<double>& values,
                                      std::vector<int64_t>& counts) = 0;

  /// Copies root's tensor over everybody's, in place; any dtype, CPU or the communicator's device.
  virtual void broadcast(torch::Tensor& tensor, int root) = 0;
  virtual std::string broadcast_text(const std::string& text, int root) = 0;

  virtual void barrier() = 0;

  /// The ranks that give the same `color` (not negative) among themselves, in their order here;
  /// their device and hosts stay. A collective call. The result must be gone before this is.
  virtual std::unique_ptr<Communicator> split(int color) = 0;
  /// A new channel between the ranks of this communicator, of which errors call each `called` and
  /// its rank here. A collective call, as the destructor is; it must be gone before this is.
  /// Messages to another rank need one.
  virtual std::unique_ptr<Channel> open_channel(const std::string& called) = 0;

  /// Ends every rank at once with exit code `code`, the launcher's too. Runs no destructor.
  [[noreturn]] virtual void abort(int code) = 0;
};

/// The communicator of this run. auto: one process alone without a launcher; NCCL for GPUs where
/// this build has it; MPI otherwise (for GPUs through host memory). Ranks that wait in it for
/// config.timeout_s for one that does not come end all. Throws UserError for a backend
/// that this build or `device` does not have, for ranks on different kinds of device, and for two
/// NCCL ranks on one GPU. At most one may exist in a process, and none after it: MPI cannot start
/// twice.
std::unique_ptr<Communicator> make_communicator(const DistributedConfig& config,
                                                torch::Device device);

/// A process alone, whatever else runs: its collectives do nothing.
std::unique_ptr<Communicator> make_single_communicator();

/// For the catch clause around a training loop: prints "rank R: step S: REASON" to stderr (without
/// the step when it is negative) and ends every rank with `code`.
[[noreturn]] void abort_all_ranks(Communicator& communicator, int64_t step,
                                  const std::string& reason, int code);

}  // namespace lococo
