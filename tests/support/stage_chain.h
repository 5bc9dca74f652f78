// The stages of a pipeline in one process: parts of a model and their runners, whose hidden states
// and gradients are handed over in memory.
#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "model/registry.h"
#include "pass/batch.h"
#include "pass/stage_runner.h"
#include "tensor/kit/safetensors_tensor.h"

namespace lococo::testing {

class StageChain {
 public:
  /// `layers` of each stage; together all of `whole`'s, whose weights and LoRA (of `lora_rank`,
  /// with alpha 16 on the attention's projections) the stages copy. `options.depth` is each stage's
  /// own.
  StageChain(Llama& whole, const std::vector<int64_t>& layers, const TuneConfig& tune,
             const StageOptions& options, int64_t lora_rank = 0);

  /// Forward and backward in the order that the stages of a pipeline have: each as far as its
  /// neighbours let it. Returns the sum of the losses.
  torch::Tensor train(const Batch& part);

  /// NLL of every target, without gradients (options.train false).
  torch::Tensor evaluate(const torch::Tensor& tokens_BT);

  /// Gradients by name, of all stages.
  TensorMap gradients() const;

 private:
  struct Stage {
    Llama model{nullptr};
    std::unique_ptr<ParameterRegistry> registry;
    std::unique_ptr<StageRunner> runner;
    int64_t depth = 1;
    std::deque<torch::Tensor> from_before, from_next;  ///< what has come and is not used yet
  };

  StageOptions options_;
  std::vector<Stage> stages_;
};

}  // namespace lococo::testing
