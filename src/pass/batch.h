// The sequences of one forward and backward pass, and what their targets are.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "config/cache_config.h"
#include "core/target_kind.h"
#include "lococo/step_plan.h"
#include "tensor/pattern/segments.h"

namespace lococo {

struct Batch {
  /// int64 [B, T + 1] on the model's device: T inputs and T targets, one further on.
  torch::Tensor tokens_BT;
  /// uint8 [B, T] of TargetKind for the targets tokens[1..T], on the device of the tokens;
  /// undefined: every target is kText.
  torch::Tensor kinds_BT = {};
  /// Documents of each row's T inputs: none sees another, and its positions begin at 0. Null: each
  /// row is one.
  std::shared_ptr<const Documents> documents = nullptr;
};

/// int64 [B, T]: the targets, kIgnoreTarget where one does not count.
torch::Tensor targets_of(const Batch& batch);

/// Batches of which one step plan serves all rows: the batch itself, or its rows one by one where
/// they hold documents.
std::vector<Batch> parts_of_one_plan(const Batch& batch);

/// The blocks of such a part. Each document begins with an empty cache; what lies in none is left
/// out.
std::vector<BlockStep> plan_of(const Batch& part, const CacheConfig& cache);

/// How many of a block's queries, from the first, have a target. The official code shifts inside
/// each block: without boundary_targets its last query has none.
int64_t queries_with_target(const BlockStep& step, bool boundary_targets);

/// How many targets of a batch's plan count. `boundary_targets` as in CacheConfig. Where the batch
/// has kinds their number is known on the device alone: this waits for it.
int64_t count_targets(const Batch& part, const std::vector<BlockStep>& plan, bool boundary_targets);

}  // namespace lococo
