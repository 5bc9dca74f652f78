// Ranks and collectives over MPI; empty-handed in a build without it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "train/communicator.h"

namespace lococo {

bool built_with_mpi();

/// Initialises MPI unless it is. Needs built_with_mpi().
ProcessRanks start_mpi();

/// Collectives over MPI; tensors of a GPU go through host memory. NCCL's communicator builds on it:
/// MPI carries its numbers, texts and CPU tensors.
class MpiCommunicator : public Communicator {
 public:
  explicit MpiCommunicator(const ProcessRanks& ranks);
  ~MpiCommunicator() override;
  MpiCommunicator(const MpiCommunicator&) = delete;
  MpiCommunicator& operator=(const MpiCommunicator&) = delete;

  int rank() const override { return ranks_.rank; }
  int size() const override { return ranks_.size; }
  int local_rank() const override { return ranks_.local_rank; }
  int local_size() const override { return ranks_.local_size; }

  void all_reduce_sum(std::vector<torch::Tensor>& tensors) override;
  int64_t all_reduce_sum_int(int64_t value) override;
  int64_t all_reduce_max_int(int64_t value) override;
  double all_reduce_sum_double(double value) override;
  void broadcast(torch::Tensor& tensor, int root) override;
  std::string broadcast_text(const std::string& text, int root) override;
  void barrier() override;
  [[noreturn]] void abort(int code) override;

  /// One value of every rank, by rank.
  std::vector<int64_t> all_gather_int(int64_t value);
  std::vector<int64_t> all_gather_int_on_host(int64_t value);  ///< by local rank

 protected:
  /// An exception is being thrown that was not when this object was made.
  bool is_unwinding() const;

 private:
  ProcessRanks ranks_;
  int exceptions_at_start_;
};

}  // namespace lococo
