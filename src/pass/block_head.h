// What the end of a model makes of one block after another: losses, or scores.
#pragma once

#include <torch/types.h>

#include <cstdint>

#include "lococo/step_plan.h"
#include "model/llama.h"

namespace lococo {

struct HeadOptions {
  bool boundary_targets = false;  ///< CacheConfig
  int64_t loss_chunk = 2048;
  bool train = false;  ///< losses; else scores without gradients, in which every target counts
};

/// Buffers at addresses that stay until the next allocate().
class BlockHead {
 public:
  explicit BlockHead(const HeadOptions& options) : options_(options) {}

  /// For blocks of at most `length` tokens.
  void allocate(int64_t B, int64_t length, torch::Device device);
  void begin() { loss_sum_.zero_(); }

  /// int64 [B, L]: a block's targets, kIgnoreTarget where one does not count. Undefined before
  /// allocate().
  const torch::Tensor& targets_BL() const { return targets_BL_; }

  /// Training: the sum of the losses of a block's targets, which is added to loss_sum(). Undefined
  /// where none counts, and in scoring, whose NLL last_nll() has.
  torch::Tensor score(Llama& model, const BlockStep& step, const torch::Tensor& hidden_BLE);

  /// Training: sum of the targets' losses of all blocks since begin(), float32 0-dim; a copy.
  torch::Tensor loss_sum() const { return loss_sum_.clone(); }
  /// Scoring: the last block's NLL of each target, float32 [B, L]; a copy.
  torch::Tensor last_nll(int64_t length) const { return nll_BL_.narrow(1, 0, length).clone(); }

  /// Targets of a block, for each row, that count unless they are ignored.
  int64_t scored(const BlockStep& step) const;

 private:
  HeadOptions options_;
  torch::Tensor targets_BL_, loss_sum_, nll_BL_;
};

}  // namespace lococo
