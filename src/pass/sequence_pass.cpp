#include "pass/sequence_pass.h"

#include <map>

#include "lococo/step_plan.h"
#include "pass/block_runner.h"
#include "pass/bptt_windows.h"
#include "pass/loss.h"
#include "pass/teaching_pass.h"
#include "tensor/kit/shape.h"
#include "tensor/pattern/training_pattern.h"

namespace lococo {
namespace {

torch::Tensor flat_rows(const torch::Tensor& hidden_BLE) {
  return hidden_BLE.reshape({-1, hidden_BLE.size(2)});
}

struct CountedTargets {
  torch::Tensor targets_BT;  ///< int64, kIgnoreTarget where one does not count
  int64_t count = 0;
};

/// Where the batch has kinds, their number is known on the device alone: this waits for it.
CountedTargets targets_that_count(const Batch& batch) {
  const int64_t B = batch.tokens_BT.size(0), T = batch.tokens_BT.size(1) - 1;
  const auto targets_BT = batch.tokens_BT.narrow(/*dim=*/1, 1, T);
  if (!batch.kinds_BT.defined()) return {targets_BT, B * T};
  CHECK_SHAPE(batch.kinds_BT, B, T);
  const auto ignored_BT = batch.kinds_BT == static_cast<int64_t>(TargetKind::kIgnored);
  return {targets_BT.masked_fill(ignored_BT, kIgnoreTarget),
          B * T - ignored_BT.sum().item<int64_t>()};
}

class BlockwisePass : public SequencePass {
 public:
  BlockwisePass(const CacheConfig& cache, int64_t loss_chunk, bool cuda_graphs)
      : cache_(cache), loss_chunk_(loss_chunk), cuda_graphs_(cuda_graphs) {}

  PassResult train(Llama& model, const Batch& batch) override {
    TORCH_CHECK(!batch.kinds_BT.defined(),
                "the blockwise pass counts every target: it takes no kinds of them");
    const auto& tokens_BT = batch.tokens_BT;
    if (cache_.bptt_blocks > 1) return train_in_windows(model, tokens_BT, cache_, loss_chunk_);
    const int64_t B = tokens_BT.size(0);
    const auto plan = make_step_plan(cache_, tokens_BT.size(1) - 1);
    auto& runner = runner_of(B, /*train=*/true);
    runner.begin(model, B, plan, tokens_BT.device());
    const auto teacher_BTE = cache_.distill > 0 ? teach(model, tokens_BT) : torch::Tensor();
    PassResult result;
    for (const auto& step : plan) {
      runner.run(model, step, tokens_BT, teacher_BTE);
      result.targets += B * runner.scored(step);
    }
    result.loss_sum = runner.loss_sum();
    return result;
  }

  torch::Tensor evaluate(Llama& model, const torch::Tensor& tokens_BT) override {
    torch::NoGradGuard no_grad;
    const auto plan = make_step_plan(cache_, tokens_BT.size(1) - 1);
    auto& runner = runner_of(tokens_BT.size(0), /*train=*/false);
    runner.begin(model, tokens_BT.size(0), plan, tokens_BT.device());
    std::vector<torch::Tensor> nll_BL;
    for (const auto& step : plan) {
      runner.run(model, step, tokens_BT);
      nll_BL.push_back(runner.last_nll(step.length()));
    }
    return torch::cat(nll_BL, /*dim=*/1);
  }

 private:
  /// What full attention makes of the same inputs: the same weights, no cache. One row at a time,
  /// because a whole sequence's feed-forward needs more memory than anything else here.
  static torch::Tensor teach(Llama& model, const torch::Tensor& tokens_BT) {
    torch::NoGradGuard no_grad;
    const auto inputs_BT = tokens_BT.narrow(/*dim=*/1, 0, tokens_BT.size(1) - 1);
    std::vector<torch::Tensor> rows;
    for (const auto& row_1T : inputs_BT.split(1)) rows.push_back(model->forward(row_1T));
    return torch::cat(rows);
  }

  /// The last micro-batch of a step may be smaller than the others: each size has its own buffers.
  /// Two sizes of each kind stay, the ones used last: an evaluation meets another remainder at each
  /// length.
  BlockRunner& runner_of(int64_t B, bool train) {
    constexpr size_t kMostSizes = 2;
    auto& sizes = sizes_[train];  // the last used one at the end
    std::erase(sizes, B);
    sizes.push_back(B);
    if (sizes.size() > kMostSizes) {
      runners_.erase({sizes.front(), train});
      sizes.erase(sizes.begin());
    }
    const BlockRunnerOptions options = {cache_, loss_chunk_, train, cuda_graphs_};
    return runners_.try_emplace({B, train}, options).first->second;
  }

  CacheConfig cache_;
  int64_t loss_chunk_;
  bool cuda_graphs_;
  std::map<std::pair<int64_t, bool>, BlockRunner> runners_;
  std::map<bool, std::vector<int64_t>> sizes_;
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
    const auto [targets_BT, count] = targets_that_count(batch);
    const auto hidden_BTE = model->forward(batch.tokens_BT.narrow(/*dim=*/1, 0, T),
                                           {checkpoint_layers_, pattern_of(model)});
    const auto loss = chunked_cross_entropy(flat_rows(hidden_BTE), model->head_weight(),
                                            targets_BT.reshape({-1}), loss_chunk_);
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
                                                  bool cuda_graphs) {
  return std::make_unique<BlockwisePass>(cache, loss_chunk, cuda_graphs);
}

std::unique_ptr<SequencePass> make_full_sequence_pass(int64_t loss_chunk, bool checkpoint_layers,
                                                      bool wants_kinds,
                                                      const PassPattern& pattern) {
  return std::make_unique<FullSequencePass>(loss_chunk, checkpoint_layers, wants_kinds, pattern);
}

std::unique_ptr<SequencePass> make_pass(const Config& config) {
  if (resolved_pass(config) == PassKind::kTeach) return make_teaching_pass(config);
  if (is_blockwise(config)) {
    return make_blockwise_pass(config.cache, config.train.loss_chunk, config.train.cuda_graphs);
  }
  return make_full_sequence_pass(config.train.loss_chunk, config.train.activation_checkpointing,
                                 config.data.lesson_share > 0.0,
                                 {config.attention, config.data.context_length,
                                  config.eval.pattern == EvalPattern::kTraining});
}

}  // namespace lococo
