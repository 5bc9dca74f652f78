#include "tests/support/stage_chain.h"

#include "pipeline/schedule.h"
#include "tensor/kit/torch.h"

namespace lococo::testing {

StageChain::StageChain(Llama& whole, const std::vector<int64_t>& layers, const TuneConfig& tune,
                       const StageOptions& options, int64_t lora_rank)
    : options_(options), stages_(layers.size()) {
  const auto values = whole->named_parameters();
  LayerRange range = all_layers(whole->shape());
  range.end = 0;
  CapturedGraph::Pool pool = CapturedGraph::kSharedPool + 1;
  for (size_t s = 0; s < layers.size(); ++s) {
    Stage& stage = stages_[s];
    range.begin = range.end;
    range.end += layers[s];
    stage.model = Llama(whole->shape(), range, whole->cache_config(), AttentionConfig(), 0);
    if (lora_rank > 0)
      stage.model->add_lora(lora_rank, 16.0, {"q_proj", "k_proj", "v_proj", "o_proj"}, 0);
    torch::NoGradGuard no_grad;
    for (auto& item : stage.model->named_parameters())
      item.value().set_data(values[item.key()].detach().clone());
    stage.model->set_compute_dtype(whole->compute_dtype());
    stage.registry =
        std::make_unique<ParameterRegistry>(stage.model, tune, 0.0, whole->compute_dtype());
    for (auto& parameter : stage.registry->trainable())
      parameter.tensor.mutable_grad() = torch::zeros_like(parameter.tensor.detach());
    StageOptions own = options;
    own.depth = stage.depth = options.train ? static_cast<int64_t>(layers.size() - s) : int64_t{2};
    own.first_pool = pool;
    pool += static_cast<CapturedGraph::Pool>(own.depth);
    stage.runner = std::make_unique<StageRunner>(own);
  }
  TORCH_CHECK(range.end == range.all, "the stages have ", range.end, " layers");
}

torch::Tensor StageChain::train(const Batch& part) {
  const auto& tokens_BT = part.tokens_BT;
  const auto targets_BT = targets_of(part);
  const auto plan = plan_of(part, options_.cache);
  const auto blocks = static_cast<int64_t>(plan.size());
  std::vector<std::vector<Turn>> turns;
  std::vector<size_t> next(stages_.size(), 0);
  for (Stage& stage : stages_) {
    stage.runner->begin(stage.model, tokens_BT.size(0), plan, tokens_BT.device());
    turns.push_back(one_forward_one_backward(blocks, stage.depth));
  }
  for (bool moved = true; moved;) {
    moved = false;
    for (size_t s = 0; s < stages_.size(); ++s) {
      if (next[s] == turns[s].size()) continue;
      Stage& stage = stages_[s];
      const auto [forward, i] = turns[s][next[s]];
      const BlockStep& step = plan[static_cast<size_t>(i)];
      const bool first = s == 0, last = s + 1 == stages_.size();
      if (forward) {
        if (!first && stage.from_before.empty()) continue;
        if (!first) {
          stage.runner->entering(step, i).copy_(stage.from_before.front());
          stage.from_before.pop_front();
        }
        stage.runner->forward(stage.model, step, i, tokens_BT, targets_BT);
        if (!last) stages_[s + 1].from_before.push_back(stage.runner->leaving(step, i).clone());
      } else {
        if (!last && stage.from_next.empty()) continue;
        if (!last) {
          stage.runner->leaving_gradient(step, i).copy_(stage.from_next.front());
          stage.from_next.pop_front();
        }
        stage.runner->backward(stage.model, step, i);
        if (!first)
          stages_[s - 1].from_next.push_back(stage.runner->entering_gradient(step, i).clone());
      }
      ++next[s];
      moved = true;
    }
  }
  for (size_t s = 0; s < stages_.size(); ++s)
    TORCH_CHECK(next[s] == turns[s].size(), "stage ", s, " waits for ever");
  return stages_.back().runner->loss_sum();
}

torch::Tensor StageChain::evaluate(const torch::Tensor& tokens_BT) {
  torch::NoGradGuard no_grad;
  const auto plan = make_step_plan(options_.cache, tokens_BT.size(1) - 1);
  const auto targets_BT = targets_of({tokens_BT});
  for (Stage& stage : stages_)
    stage.runner->begin(stage.model, tokens_BT.size(0), plan, tokens_BT.device());
  std::vector<torch::Tensor> nll_BL;
  for (size_t i = 0; i < plan.size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    for (size_t s = 0; s < stages_.size(); ++s) {
      Stage& stage = stages_[s];
      if (s > 0)
        stage.runner->entering(plan[i], number)
            .copy_(stages_[s - 1].runner->leaving(plan[i], number));
      stage.runner->forward(stage.model, plan[i], number, tokens_BT, targets_BT);
    }
    nll_BL.push_back(stages_.back().runner->last_nll(plan[i].length()));
  }
  return torch::cat(nll_BL, /*dim=*/1);
}

TensorMap StageChain::gradients() const {
  TensorMap gradients;
  for (const Stage& stage : stages_) {
    for (const auto& parameter : stage.registry->trainable())
      gradients[parameter.name] = parameter.tensor.grad().to(torch::kCPU, torch::kFloat32);
  }
  return gradients;
}

}  // namespace lococo::testing
