// Whole sequences through the layers that a process has of a model, and what ends the model.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>

#include "config/attention_config.h"
#include "model/llama.h"
#include "pass/batch.h"
#include "pass/pass_result.h"

namespace lococo {

/// What queries of a whole sequence see.
struct PassPattern {
  AttentionConfig attention;   ///< its pattern, in training
  int64_t context_length = 0;  ///< that a share in `attention` is of
  bool in_evaluation = false;  ///< evaluate with it too, and not with full attention
};

struct WholeOptions {
  int64_t loss_chunk = 2048;
  bool checkpoint_layers = false;  ///< in training: layer_checkpoint.h
  PassPattern pattern;
  bool recompute_attention = false;  ///< with checkpoint_layers: attention's output too
};

/// Forward passes of one model, or of a part of it: `entering` are tokens [B, T] (int64) where it
/// begins the model, else hidden states [B, T, E].
class WholeRunner {
 public:
  explicit WholeRunner(WholeOptions options) : options_(std::move(options)) {}

  /// Hidden states [B, T, E] of training, with gradients where they are on; after the final norm
  /// where the part ends the model.
  torch::Tensor train(Llama& model, const torch::Tensor& entering,
                      const std::shared_ptr<const Documents>& documents);
  /// The same of an evaluation.
  torch::Tensor evaluate(Llama& model, const torch::Tensor& entering);

  // Of a part that ends the model:
  /// The loss sum of all targets that count (0-dim, with its graph), and their number. Where the
  /// batch has kinds this waits for the device.
  PassResult loss(const Llama& model, const torch::Tensor& hidden_BTE, const Batch& batch) const;
  /// NLL of every target, float32 [B, T]. tokens_BT as in Batch.
  torch::Tensor nll(const Llama& model, const torch::Tensor& hidden_BTE,
                    const torch::Tensor& tokens_BT) const;

 private:
  std::shared_ptr<const AttentionPattern> pattern_of(const Llama& model);

  WholeOptions options_;
  std::shared_ptr<const AttentionPattern> pattern_;  ///< once a model is known
};

/// The T inputs of a batch's rows.
torch::Tensor inputs_of(const torch::Tensor& tokens_BT);

}  // namespace lococo
