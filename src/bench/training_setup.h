// A model and an optimizer for benchmarks of training: what a trainer on one rank has.
#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>
#include <string>

#include "bench/report.h"
#include "setup/model_setup.h"
#include "train/data_parallel_optimizer.h"

namespace lococo {

class TrainingSetup {
 public:
  /// Weights, gradients and optimizer state are there afterwards. Throws UserError when nothing is
  /// trained.
  TrainingSetup(const Config& config, torch::Device device);

  Llama& model() { return prepared_.model; }
  DataParallelOptimizer& optimizer() { return optimizer_; }
  bool trains(ParameterGroup group) const;

  torch::Tensor random_tokens(int64_t B, int64_t T) const;  ///< int64 [B, T + 1]

  /// Starts a new peak, once the device is idle.
  void reset_peak() const;
  /// The peak since then, with the optimizer's state and without.
  void add_peak(BenchCase* measured) const;

  /// Runs `body` and gives unused memory back; returns "out of memory" or "".
  std::string or_out_of_memory(const std::function<void()>& body) const;
  void release_memory() const;

 private:
  torch::Device device_;
  PreparedModel prepared_;
  std::unique_ptr<Communicator> alone_ = make_single_communicator();
  DataParallelOptimizer optimizer_;
};

}  // namespace lococo
