// A model and an optimizer for benchmarks of training: a trainer's steps, on gradients that lie one
// by one instead of one behind another.
#pragma once

#include <torch/types.h>

#include <functional>
#include <string>

#include "bench/report.h"
#include "setup/model_setup.h"
#include "train/optimizer.h"

namespace lococo {

class TrainingSetup {
 public:
  /// Weights, gradients and optimizer state are there afterwards. Throws UserError when nothing is
  /// trained.
  TrainingSetup(const Config& config, torch::Device device);

  Llama& model() { return prepared_.model; }
  AdamW& optimizer() { return optimizer_; }
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
  AdamW optimizer_;
};

}  // namespace lococo
