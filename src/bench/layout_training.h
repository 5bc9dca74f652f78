// One rank of a layout: its part of the model, and a trainer's step.
#pragma once

#include <torch/types.h>

#include <memory>
#include <optional>
#include <vector>

#include "bench/layout.h"
#include "config/config.h"
#include "dist/communicator.h"
#include "pass/sequence_pass.h"
#include "pipeline/pipeline.h"
#include "setup/model_setup.h"
#include "train/data_parallel_optimizer.h"

namespace lococo {

class LayoutTraining {
 public:
  /// A collective call of `group`, the layout.ranks() ranks, which must live as long. `config`: of
  /// config_of(). Throws UserError for more stages than layers.
  LayoutTraining(const Config& config, const Layout& layout, Communicator& group,
                 torch::Device device);

  /// Weights, gradients and optimizer state of this rank, and `sequences` random sequences for its
  /// replica, in micro-batches of train.micro_batch. Throws UserError when nothing is trained,
  /// c10::OutOfMemoryError. Waits for nobody.
  void load(int64_t sequences);

  /// What a step of the trainer does of these, the words that all ranks exchange behind it
  /// included. The rate is 0: the same work, and the weights stay. A collective call.
  void step();

 private:
  Config config_;
  Communicator& group_;
  torch::Device device_;
  std::unique_ptr<Pipeline> pipeline_;  ///< null with one stage
  PreparedModel prepared_;
  std::optional<DataParallelOptimizer> optimizer_;
  std::unique_ptr<SequencePass> pass_;
  std::vector<torch::Tensor> micro_batches_BT_;  ///< int64 [B, T + 1]
};

}  // namespace lococo
