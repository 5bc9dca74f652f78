// Runs the blocks of one step plan on buffers that stay where they are, so that each kind of block
// can be recorded as a CUDA graph once and replayed for the rest of the run.
#pragma once

#include <torch/types.h>

#include <vector>

#include "config/cache_config.h"
#include "lococo/step_plan.h"
#include "model/llama.h"
#include "pass/block_head.h"
#include "pass/block_kinds.h"
#include "pass/recorded_model.h"

namespace lococo {

struct BlockRunnerOptions {
  CacheConfig cache;
  int64_t loss_chunk = 2048;
  bool train = false;        ///< forward and backward; else scores without gradients
  bool cuda_graphs = false;  ///< record and replay where the device can
};

/// One runner serves batches of one size on one model. The first block of a kind (block_kinds.h)
/// runs as it is, the second is recorded, the others are replayed. Recordings are dropped when a
/// parameter or gradient has moved.
class BlockRunner {
 public:
  explicit BlockRunner(BlockRunnerOptions options)
      : options_(std::move(options)),
        head_({options_.cache.boundary_targets, options_.loss_chunk, options_.train}) {}

  /// Empties the caches for a new sequence batch of `B` rows and prepares them for the weights as
  /// they are now, which must not change before its last block; `plan` tells how large they get.
  /// A block that begins a document empties them again.
  void begin(Llama& model, int64_t B, const std::vector<BlockStep>& plan, torch::Device device);

  /// The next block of the plan: inputs from tokens_BT [B, T + 1], targets_BT [B, T] with
  /// kIgnoreTarget where one does not count. Training adds the gradients of the loss sum to the
  /// trainable parameters' `.grad`; with cache.distill > 0 that loss has cache.distill times the
  /// distance from teacher_BTE, final hidden states of full attention [B, T, E]; then every target
  /// must count.
  void run(Llama& model, const BlockStep& step, const torch::Tensor& tokens_BT,
           const torch::Tensor& targets_BT, const torch::Tensor& teacher_BTE = {});

  /// As BlockHead's; without the distance from a teacher.
  torch::Tensor loss_sum() const { return head_.loss_sum(); }
  torch::Tensor last_nll(int64_t length) const { return head_.last_nll(length); }
  int64_t scored(const BlockStep& step) const { return head_.scored(step); }

 private:
  void allocate(Llama& model, int64_t B, const PlanExtent& extent, torch::Device device);
  void work(Llama& model, const AttentionInput& input);
  bool distills() const { return options_.train && options_.cache.distill > 0; }

  BlockRunnerOptions options_;
  BlockHead head_;
  torch::Tensor tokens_BL_;    ///< int64: a block's inputs
  torch::Tensor teacher_BLE_;  ///< undefined without distillation
  std::vector<CacheState> caches_;
  BlockKinds kinds_;
  RecordedModel recorded_;
  bool capture_allowed_ = false;
};

}  // namespace lococo
