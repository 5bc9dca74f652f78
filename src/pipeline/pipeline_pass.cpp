#include "pipeline/pipeline_pass.h"

#include <vector>

#include "pass/runners.h"
#include "pass/stage_runner.h"
#include "pipeline/schedule.h"
#include "pipeline/sent.h"
#include "pipeline/whole_pass.h"
#include "tensor/kit/torch.h"

namespace lococo {
namespace {

/// One plan's blocks on their way through one stage.
class StageWork {
 public:
  StageWork(Llama& model, Pipeline& pipeline, StageRunner& runner, int64_t depth,
            const std::vector<BlockStep>& plan)
      : model_(model),
        pipeline_(pipeline),
        place_(pipeline.place()),
        runner_(runner),
        plan_(plan),
        sent_on_(depth),
        sent_back_(depth) {}

  void forward(int64_t number, const torch::Tensor& tokens_BT, const torch::Tensor& targets_BT) {
    const BlockStep& step = plan_[static_cast<size_t>(number)];
    if (!place_.is_first()) {
      auto entering = runner_.entering(step, number);
      pipeline_.receive_from_before(entering)->wait();
    }
    sent_on_.wait(number);
    runner_.forward(model_, step, number, tokens_BT, targets_BT);
    if (!place_.is_last()) sent_on_.put(number, pipeline_.send_on(runner_.leaving(step, number)));
  }

  void backward(int64_t number) {
    const BlockStep& step = plan_[static_cast<size_t>(number)];
    if (!place_.is_last()) {
      auto gradient = runner_.leaving_gradient(step, number);
      pipeline_.receive_from_next(gradient)->wait();
    }
    sent_back_.wait(number);
    runner_.backward(model_, step, number);
    if (!place_.is_first())
      sent_back_.put(number, pipeline_.send_back(runner_.entering_gradient(step, number)));
  }

  void finish() {
    sent_on_.wait_for_all();
    sent_back_.wait_for_all();
  }

 private:
  Llama& model_;
  Pipeline& pipeline_;
  const GridPlace& place_;
  StageRunner& runner_;
  const std::vector<BlockStep>& plan_;
  Sent sent_on_, sent_back_;
};

class PipelinePass : public SequencePass {
 public:
  PipelinePass(const Config& config, Pipeline& pipeline)
      : pipeline_(pipeline),
        place_(pipeline.place()),
        cache_(config.cache),
        wants_kinds_(has_kinds(config)),
        training_({config.cache, config.train.loss_chunk, /*train=*/true, config.train.cuda_graphs,
                   place_.stages - place_.stage}),
        // Without a backward pass: while one block is sent, the next one is computed.
        scoring_({config.cache, config.train.loss_chunk, /*train=*/false, config.train.cuda_graphs,
                  /*depth=*/2}),
        trainers_(training_),
        scorers_(scoring_) {}

  bool wants_kinds() const override { return wants_kinds_; }

  PassResult train(Llama& model, const Batch& batch) override {
    return sum_over_parts(batch, [&](const Batch& part) { return train_part(model, part); });
  }

  torch::Tensor evaluate(Llama& model, const torch::Tensor& tokens_BT) override {
    torch::NoGradGuard no_grad;
    const auto plan = make_step_plan(cache_, tokens_BT.size(1) - 1);
    const auto targets_BT = targets_of({tokens_BT});
    auto& runner = scorers_.of_size(tokens_BT.size(0));
    runner.begin(model, tokens_BT.size(0), plan, tokens_BT.device());
    StageWork work(model, pipeline_, runner, scoring_.depth, plan);
    std::vector<torch::Tensor> nll_BL;
    for (size_t i = 0; i < plan.size(); ++i) {
      work.forward(static_cast<int64_t>(i), tokens_BT, targets_BT);
      if (place_.is_last()) nll_BL.push_back(runner.last_nll(plan[i].length()));
    }
    work.finish();
    return place_.is_last() ? torch::cat(nll_BL, /*dim=*/1) : torch::Tensor();
  }

 private:
  PassResult train_part(Llama& model, const Batch& part) {
    const auto& tokens_BT = part.tokens_BT;
    const auto targets_BT = place_.is_last() ? targets_of(part) : torch::Tensor();
    const auto plan = plan_of(part, cache_);
    auto& runner = trainers_.of_size(tokens_BT.size(0));
    runner.begin(model, tokens_BT.size(0), plan, tokens_BT.device());
    StageWork work(model, pipeline_, runner, training_.depth, plan);
    for (const Turn& turn :
         one_forward_one_backward(static_cast<int64_t>(plan.size()), training_.depth)) {
      if (turn.forward) {
        work.forward(turn.block, tokens_BT, targets_BT);
      } else {
        work.backward(turn.block);
      }
    }
    work.finish();
    return {runner.loss_sum(),
            place_.is_last() ? count_targets(part, plan, cache_.boundary_targets) : 0};
  }

  Pipeline& pipeline_;
  const GridPlace& place_;
  CacheConfig cache_;
  bool wants_kinds_;
  StageOptions training_, scoring_;
  RunnersBySize<StageRunner, StageOptions> trainers_, scorers_;
};

}  // namespace

std::unique_ptr<SequencePass> make_pipeline_pass(const Config& config, Pipeline& pipeline) {
  if (!is_blockwise(config))
    return make_whole_pipeline_pass(whole_options(config), has_kinds(config), pipeline);
  return std::make_unique<PipelinePass>(config, pipeline);
}

std::unique_ptr<SequencePass> make_pass(const Config& config, Pipeline* pipeline) {
  return pipeline == nullptr ? make_pass(config) : make_pipeline_pass(config, *pipeline);
}

}  // namespace lococo
