#include "pass/sequence_pass.h"

#include "pass/block_runner.h"
#include "pass/bptt_windows.h"
#include "pass/runners.h"
#include "pass/teaching_pass.h"
#include "pass/whole_runner.h"

namespace lococo {
namespace {

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
  FullSequencePass(const WholeOptions& options, bool wants_kinds)
      : wants_kinds_(wants_kinds), runner_(options) {}

  bool wants_kinds() const override { return wants_kinds_; }

  PassResult train(Llama& model, const Batch& batch) override {
    // Nobody holds the hidden states during the backward pass.
    const PassResult result = runner_.loss(
        model, runner_.train(model, inputs_of(batch.tokens_BT), batch.documents), batch);
    if (result.loss_sum.requires_grad()) result.loss_sum.backward();
    return {result.loss_sum.detach(), result.targets};
  }

  torch::Tensor evaluate(Llama& model, const torch::Tensor& tokens_BT) override {
    torch::NoGradGuard no_grad;
    return runner_.nll(model, runner_.evaluate(model, inputs_of(tokens_BT)), tokens_BT);
  }

 private:
  bool wants_kinds_;
  WholeRunner runner_;
};

}  // namespace

std::vector<PassResult> SequencePass::train_all(Llama& model, int64_t count, const BatchAt& batch) {
  std::vector<PassResult> results;
  for (int64_t i = 0; i < count; ++i) results.push_back(train(model, batch(i)));
  return results;
}

std::unique_ptr<SequencePass> make_blockwise_pass(const CacheConfig& cache, int64_t loss_chunk,
                                                  bool cuda_graphs, bool wants_kinds) {
  return std::make_unique<BlockwisePass>(cache, loss_chunk, cuda_graphs, wants_kinds);
}

std::unique_ptr<SequencePass> make_full_sequence_pass(int64_t loss_chunk, bool checkpoint_layers,
                                                      bool wants_kinds,
                                                      const PassPattern& pattern) {
  return std::make_unique<FullSequencePass>(WholeOptions{loss_chunk, checkpoint_layers, pattern},
                                            wants_kinds);
}

WholeOptions whole_options(const Config& config) {
  return {
      config.train.loss_chunk,
      config.train.activation_checkpointing,
      {config.attention, config.data.context_length, config.eval.pattern == EvalPattern::kTraining},
      config.train.recompute_attention};
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
  return std::make_unique<FullSequencePass>(whole_options(config), wants_kinds);
}

}  // namespace lococo
