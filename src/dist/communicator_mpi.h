// Ranks and collectives over MPI.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dist/communicator.h"

namespace lococo {

bool built_with_mpi();

bool mpi_is_running();  ///< initialised and not yet finalised

/// Initialises MPI unless it is. Needs built_with_mpi(), as all below.
ProcessRanks start_mpi();

/// One value of every rank (or every rank of this host), in rank order. MPI must be running.
std::vector<int64_t> mpi_all_gather(int64_t value, bool on_this_host);

/// Some ranks, by the handle that MPI gives languages without its header, and this one's place
/// among them.
struct MpiGroup {
  int handle = 0;
  ProcessRanks ranks;
  bool is_world = false;
};

/// All ranks. MPI must be running.
MpiGroup mpi_world(const ProcessRanks& ranks);
/// Those of `group` that give the same color; a collective call.
MpiGroup split_group(const MpiGroup& group, int color);

/// Collectives over MPI; tensors of a GPU go through host memory. NCCL's communicator builds on it:
/// MPI carries its numbers, texts and CPU tensors. The destructor finalises MPI if the group is the
/// world, else it frees the group.
class MpiCommunicator : public Communicator {
 public:
  explicit MpiCommunicator(const MpiGroup& group);
  ~MpiCommunicator() override;
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  int rank() const override { return group_.ranks.rank; }
  int size() const override { return group_.ranks.size; }
  int local_rank() const override { return group_.ranks.local_rank; }
  int local_size() const override { return group_.ranks.local_size; }

  void all_reduce_sum(std::vector<torch::Tensor>& tensors) override;
  void reduce_scatter_sum(torch::Tensor& flat) override;
  void all_gather(torch::Tensor& flat) override;
  int64_t all_reduce_sum_int(int64_t value) override;
  int64_t all_reduce_max_int(int64_t value) override;
  void all_reduce_sum_numbers(std::vector<double>& values, std::vector<int64_t>& counts) override;
  void broadcast(torch::Tensor& tensor, int root) override;
  std::string broadcast_text(const std::string& text, int root) override;
  void barrier() override;
  std::unique_ptr<Communicator> split(int color) override;
  std::unique_ptr<Channel> open_channel(const std::string& called) override;
  [[noreturn]] void abort(int code) override;

 protected:
  /// Sums each buffer over the ranks in place: contiguous, all float32 or all int64, on the
  /// communicator's device.
  virtual void sum_buffers(std::vector<torch::Tensor>& buffers);

  /// Elements of a rank's part of `flat`. Fails for what reduce_scatter_sum() does not take.
  int64_t part_length(const torch::Tensor& flat) const;

  /// An exception is being thrown that was not when this object was made.
  bool is_unwinding() const;

  const MpiGroup& group() const { return group_; }

 private:
  MpiGroup group_;
  int exceptions_at_start_;
};

std::unique_ptr<Communicator> make_mpi_communicator(const ProcessRanks& ranks);

}  // namespace lococo
