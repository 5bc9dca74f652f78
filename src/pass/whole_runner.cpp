#include "pass/whole_runner.h"

#include "pass/loss.h"
#include "tensor/kit/torch.h"
#include "tensor/pattern/training_pattern.h"

namespace lococo {
namespace {

torch::Tensor flat_rows(const torch::Tensor& hidden_BLE) {
  return hidden_BLE.reshape({-1, hidden_BLE.size(2)});
}

}  // namespace

torch::Tensor inputs_of(const torch::Tensor& tokens_BT) {
  return tokens_BT.narrow(/*dim=*/1, 0, tokens_BT.size(1) - 1);
}

torch::Tensor WholeRunner::train(Llama& model, const torch::Tensor& entering,
                                 const std::shared_ptr<const Documents>& documents) {
  return model->forward(entering, {options_.checkpoint_layers, pattern_of(model), documents,
                                   options_.recompute_attention});
}

torch::Tensor WholeRunner::evaluate(Llama& model, const torch::Tensor& entering) {
  WholeSequence how;
  if (options_.pattern.in_evaluation) how.pattern = pattern_of(model);
  return model->forward(entering, how);
}

PassResult WholeRunner::loss(const Llama& model, const torch::Tensor& hidden_BTE,
                             const Batch& batch) const {
  auto hidden_XE = flat_rows(hidden_BTE);
  auto targets_X = targets_of(batch).reshape({-1});
  if (batch.kinds_BT.defined()) {  // logits of the targets that count alone; waits for the device
    const auto counted_X = (targets_X != kIgnoreTarget).nonzero().squeeze(-1);
    hidden_XE = hidden_XE.index_select(/*dim=*/0, counted_X);
    targets_X = targets_X.index_select(/*dim=*/0, counted_X);
  }
  return {chunked_cross_entropy(hidden_XE, model->head_weight(), targets_X, options_.loss_chunk),
          targets_X.size(0)};
}

torch::Tensor WholeRunner::nll(const Llama& model, const torch::Tensor& hidden_BTE,
                               const torch::Tensor& tokens_BT) const {
  const int64_t B = tokens_BT.size(0), T = tokens_BT.size(1) - 1;
  const auto targets_X = tokens_BT.narrow(/*dim=*/1, 1, T).reshape({-1});
  return target_nll(flat_rows(hidden_BTE), model->head_weight(), targets_X, options_.loss_chunk)
      .view({B, T});
}

std::shared_ptr<const AttentionPattern> WholeRunner::pattern_of(const Llama& model) {
  const PassPattern& asked = options_.pattern;
  if (asked.attention.pattern == PatternKind::kFull) return nullptr;  // the model's own
  if (!pattern_) {
    pattern_ =
        make_training_pattern(asked.attention, asked.context_length, model->shape().num_heads);
  }
  return pattern_;
}

}  // namespace lococo
