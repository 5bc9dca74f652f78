// Runs the blocks of one step plan through a part of a model, forward and backward by themselves,
// so that a pipeline's stage can take up the next blocks before a block's gradient comes back.
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

struct StageOptions {
  CacheConfig cache;
  int64_t loss_chunk = 2048;
  bool train = false;        ///< forward and backward; else scores without gradients
  bool cuda_graphs = false;  ///< record and replay where the device can
  /// Blocks in flight: block i + depth goes forward after block i has gone backward (or, without
  /// training, after what left it is needed no more).
  int64_t depth = 1;
  /// The first of `depth` pools of CapturedGraph in which training is recorded: stages that run
  /// side by side in one process need other ones each.
  CapturedGraph::Pool first_pool = 1;
};

/// One runner serves batches of one size on one part of a model. A block in flight has a slot of
/// its own: caches (a home that the backward pass still needs must not change, so the homes form a
/// ring, and a block finds the cache before it in its neighbour's), buffers at addresses that stay,
/// and recordings. Forward and backward are recorded by themselves, each kind of block
/// (block_kinds.h) in each slot.
class StageRunner {
 public:
  explicit StageRunner(StageOptions options)
      : options_(std::move(options)),
        head_({options_.cache.boundary_targets, options_.loss_chunk, options_.train}) {}

  /// As BlockRunner::begin(). All blocks of an earlier plan must be done.
  void begin(Llama& model, int64_t B, const std::vector<BlockStep>& plan, torch::Device device);

  // Hidden states [B, L, E] of block `number` of the plan and their gradients, contiguous, in the
  // compute dtype; `entering` stays as it is until the block's backward pass is done.
  torch::Tensor entering(const BlockStep& step, int64_t number);           ///< put before forward()
  torch::Tensor leaving(const BlockStep& step, int64_t number);            ///< made by forward()
  torch::Tensor leaving_gradient(const BlockStep& step, int64_t number);   ///< before backward()
  torch::Tensor entering_gradient(const BlockStep& step, int64_t number);  ///< by backward()

  /// Blocks in their order. Inputs come from tokens_BT [B, T + 1] where the part begins the model,
  /// targets from targets_BT [B, T] (BlockRunner::run) where it ends it.
  void forward(Llama& model, const BlockStep& step, int64_t number, const torch::Tensor& tokens_BT,
               const torch::Tensor& targets_BT);
  /// In the same order. Adds to the trainable parameters' `.grad`.
  void backward(Llama& model, const BlockStep& step, int64_t number);

  /// As BlockHead's; of a part that ends the model.
  torch::Tensor loss_sum() const { return head_.loss_sum(); }
  torch::Tensor last_nll(int64_t length) const { return head_.last_nll(length); }

 private:
  struct Slot {
    torch::Tensor tokens_BL;
    // Flat: a block of L tokens has the first B L E elements.
    torch::Tensor entering, leaving, entering_gradient, leaving_gradient;
    std::vector<CacheState> caches;
    BlockKinds kinds;
    BlockKinds::Kind* kind = nullptr;  ///< of the block in flight
    /// Its autograd graph from `in` (where the part does not begin the model) to `out`, unless the
    /// block is replayed.
    torch::Tensor in, out;
  };

  void allocate(Llama& model, int64_t B, const PlanExtent& extent, torch::Device device);
  Slot& slot_of(int64_t number);
  torch::Tensor view(const torch::Tensor& flat, const BlockStep& step) const;
  void forward_work(Llama& model, const AttentionInput& input, Slot& slot, const Slot& before);
  void backward_work(const Llama& model, const BlockStep& step, Slot& slot);
  CapturedGraph::Pool pool_of(int64_t number) const;

  StageOptions options_;
  BlockHead head_;
  int64_t width_ = 0;  ///< E
  std::vector<Slot> slots_;
  RecordedModel recorded_;
  bool capture_allowed_ = false;
};

}  // namespace lococo
