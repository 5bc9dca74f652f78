#include "pass/sequence_pass.h"

#include "pass/block_runner.h"
#include "pass/bptt_windows.h"
#include "pass/loss.h"
#include "pass/runners.h"
#include "pass/teaching_pass.h"
#include "tensor/pattern/training_pattern.h"

namespace lococo {
namespace {

torch::Tensor flat_rows(const torch::Tensor& hidden_BLE) {
  return hidden_BLE.reshape({-1, hidden_BLE.size(2)});
}

class BlockwisePass : public SequencePass {
 public:
  BlockwisePass(const CacheConfig& cache, int64_t loss_chunk, bool cuda_graphs, bool wants_kinds)
      : cache_(cache),
        loss_chunk_(loss_chunk),
        wants_kinds_(wants_kinds),
        trainers_({cache, loss_chunk, /*train=*/true, cuda_graphs}),
        scorers_({cache, loss_chunk, /*train=*/false, cuda_graphs}) {}

  bool wants_kinds() const override { return wants_kinds_; }

  PassResult train(Llama& model, const Batch& batch) override {
    TORCH_CHECK(cache_.distill == 0 || (!batch.kinds_BT.defined() && !batch.documents),
                "cache.distill takes no kinds of targets and no documents");
    if (cache_.bptt_blocks > 1) return train_in_windows(model, batch, cache_, loss_chunk_);
    return sum_over_parts(batch, [&](const Batch& part) { return train_part(model, part); });
  }

  torch::Tensor evaluate(Llama& model, const torch::Tensor& tokens_BT) override {
    torch::NoGradGuard no_grad;
    const auto plan = make_step_plan(cache_, tokens_BT.size(1) - 1);
    const auto targets_BT = targets_of({tokens_BT});
    auto& runner = scorers_.of_size(tokens_BT.size(0));
    runner.begin(model, tokens_BT.size(0), plan, tokens_BT.device());
    std::vector<torch::Tensor> nll_BL;
    for (const auto& step : plan) {
      runner.run(model, step, tokens_BT, targets_BT);
      nll_BL.push_back(runner.last_nll(step.length()));
    }
    return torch::cat(nll_BL, /*dim=*/1);
  }

 private:
  PassResult train_part(Llama& model, const Batch& part) {
    const auto& tokens_BT = part.tokens_BT;
    const auto targets_BT = targets_of(part);
    const auto plan = plan_of(part, cache_);
    auto& runner = trainers_.of_size(tokens_BT.size(0));
    runner.begin(model, tokens_BT.size(0), plan, tokens_BT.device());
    const auto teacher_BTE = cache_.distill > 0 ? teach(model, tokens_BT) : torch::Tensor();
    for (const auto& step : plan) runner.run(model, step, tokens_BT, targets_BT, teacher_BTE);
    return {runner.loss_sum(), count_targets(part, plan, cache_.boundary_targets)};
  }

  /// What full attention makes of the same inputs: the same weights, no cache. One row at a time,
  /// because a whole sequence's feed-forward needs more memory than anything else here.
  static torch::Tensor teach(Llama& model, const torch::Tensor& tokens_BT) {
    torch::NoGradGuard no_grad;
    const auto inputs_BT = tokens_BT.narrow(/*dim=*/1, 0, tokens_BT.size(1) - 1);
    std::vector<torch::Tensor> rows;
    for (const auto& row_1T : inputs_BT.split(1)) rows.push_back(model->forward(row_1T));
    return torch::cat(rows);
  }

  CacheConfig cache_;
  int64_t loss_chunk_;
  bool wants_kinds_;
  RunnersBySize<BlockRunner, BlockRunnerOptions> trainers_, scorers_;
};

class FullSequencePass : public SequencePass {
 public:
  FullSequencePass(int64_t loss_chunk, bool checkpoint_layers, bool wants_kinds,
                   const PassPattern& pattern)
      : loss_chunk_(loss_chunk),
        checkpoint_layers_(checkpoint_layers),
        wants_kinds_(wants_kinds),
        asked_(pattern) {}

  bool wants_kinds() const override { return wants_kinds_; }

  PassResult train(Llama& model, const Batch& batch) override {
    const int64_t T = batch.tokens_BT.size(1) - 1;
    const auto hidden_BTE =
        model->forward(batch.tokens_BT.narrow(/*dim=*/1, 0, T),
                       {checkpoint_layers_, pattern_of(model), batch.documents});
    auto hidden_XE = flat_rows(hidden_BTE);
    auto targets_X = targets_of(batch).reshape({-1});
    if (batch.kinds_BT.defined()) {  // logits of the targets that count alone; waits for the device
      const auto counted_X = (targets_X != kIgnoreTarget).nonzero().squeeze(-1);
      hidden_XE = hidden_XE.index_select(/*dim=*/0, counted_X);
      targets_X = targets_X.index_select(/*dim=*/0, counted_X);
    }
    const int64_t count = targets_X.size(0);
    const auto loss =
        chunked_cross_entropy(hidden_XE, model->head_weight(), targets_X, loss_chunk_);
    if (loss.requires_grad()) loss.backward();
    return {loss.detach(), count};
  }

  torch::Tensor evaluate(Llama& model, const torch::Tensor& tokens_BT) override {
    torch::NoGradGuard no_grad;
    const int64_t B = tokens_BT.size(0), T = tokens_BT.size(1) - 1;
    WholeSequence how;
    if (asked_.in_evaluation) how.pattern = pattern_of(model);
    const auto hidden_BTE = model->forward(tokens_BT.narrow(/*dim=*/1, 0, T), how);
    const auto targets_X = tokens_BT.narrow(/*dim=*/1, 1, T).reshape({-1});
    return target_nll(flat_rows(hidden_BTE), model->head_weight(), targets_X, loss_chunk_)
        .view({B, T});
  }

 private:
  std::shared_ptr<const AttentionPattern> pattern_of(const Llama& model) {
    if (asked_.attention.pattern == PatternKind::kFull) return nullptr;  // the model's own
    if (!pattern_) {
      pattern_ =
          make_training_pattern(asked_.attention, asked_.context_length, model->shape().num_heads);
    }
    return pattern_;
  }

  int64_t loss_chunk_;
  bool checkpoint_layers_;
  bool wants_kinds_;
  PassPattern asked_;
  std::shared_ptr<const AttentionPattern> pattern_;  ///< once a model is known
};

}  // namespace

std::unique_ptr<SequencePass> make_blockwise_pass(const CacheConfig& cache, int64_t loss_chunk,
                                                  bool cuda_graphs, bool wants_kinds) {
  return std::make_unique<BlockwisePass>(cache, loss_chunk, cuda_graphs, wants_kinds);
}

std::unique_ptr<SequencePass> make_full_sequence_pass(int64_t loss_chunk, bool checkpoint_layers,
                                                      bool wants_kinds,
                                                      const PassPattern& pattern) {
  return std::make_unique<FullSequencePass>(loss_chunk, checkpoint_layers, wants_kinds, pattern);
}

bool has_kinds(const Config& config) {
  return config.data.lesson_share > 0.0 || !config.data.records.empty();
}

std::unique_ptr<SequencePass> make_pass(const Config& config) {
  if (resolved_pass(config) == PassKind::kTeach) return make_teaching_pass(config);
  const bool wants_kinds = has_kinds(config);
  if (is_blockwise(config)) {
    return make_blockwise_pass(config.cache, config.train.loss_chunk, config.train.cuda_graphs,
                               wants_kinds);
  }
  return make_full_sequence_pass(config.train.loss_chunk, config.train.activation_checkpointing,
                                 wants_kinds,
                                 {config.attention, config.data.context_length,
                                  config.eval.pattern == EvalPattern::kTraining});
}

}  // namespace lococo
