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

/// Collectives over MPI; tensors of a GPU go through host memory. NCCL's communicator builds on it:
/// MPI carries its numbers, texts and CPU tensors. The destructor finalises MPI.
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
  void reduce_scatter_sum(torch::Tensor& flat) override;
  void all_gather(torch::Tensor& flat) override;
  int64_t all_reduce_sum_int(int64_t value) override;
  int64_t all_reduce_max_int(int64_t value) override;
  void all_reduce_sum_numbers(std::vector<double>& values, std::vector<int64_t>& counts) override;
  void broadcast(torch::Tensor& tensor, int root) override;
  std::string broadcast_text(const std::string& text, int root) override;
  void barrier() override;
  [[noreturn]] void abort(int code) override;

 protected:
  /// Sums each buffer over the ranks in place: contiguous, all float32 or all int64, on the
  /// communicator's device.
  virtual void sum_buffers(std::vector<torch::Tensor>& buffers);

  /// Elements of a rank's part of `flat`. Fails for what reduce_scatter_sum() does not take.
  int64_t part_length(const torch::Tensor& flat) const;

  /// An exception is being thrown that was not when this object was made.
  bool is_unwinding() const;

 private:
  ProcessRanks ranks_;
  int exceptions_at_start_;
};

std::unique_ptr<Communicator> make_mpi_communicator(const ProcessRanks& ranks);

}  // namespace lococo
