#include "pass/block_runner.h"

#include <algorithm>

#include "pass/batch.h"
#include "pass/distillation.h"
#include "pass/loss.h"
#include "pass/recorded_model.h"
#include "tensor/kit/cuda_graph.h"

namespace lococo {

int64_t BlockRunner::scored(const BlockStep& step) const {
  return queries_with_target(step, !options_.train || options_.cache.boundary_targets);
}

void BlockRunner::begin(Llama& model, int64_t B, const std::vector<BlockStep>& plan,
                        torch::Device device) {
  auto extent = extent_of(plan);
  const bool same = tokens_BL_.defined() && tokens_BL_.size(0) == B &&
                    tokens_BL_.device() == device &&
                    caches_.front().k_home_BGCD.scalar_type() == model->compute_dtype();
  // Buffers only grow: sequences of many lengths come in turn, and what is recorded stays.
  const PlanExtent held = {same ? tokens_BL_.size(1) : 0,
                           same ? caches_.front().k_home_BGCD.size(2) : 0};
  if (extent.length > held.length || extent.attended > held.attended) {
    extent = {std::max(extent.length, held.length), std::max(extent.attended, held.attended)};
    allocate(model, B, extent, device);
  }
  auto addresses = addresses_of(model);
  if (addresses != addresses_) {
    kinds_.clear();
    addresses_ = std::move(addresses);
  }
  capture_allowed_ = may_capture(model);
  loss_sum_.zero_();
  for (auto& state : caches_) state.use_home(0);
  model->prepare_caches(caches_);
}

void BlockRunner::allocate(Llama& model, int64_t B, const PlanExtent& extent,
                           torch::Device device) {
  kinds_.clear();
  caches_.clear();  // before others are made
  const auto floats = torch::dtype(torch::kFloat32).device(device);
  tokens_BL_ = torch::zeros({B, extent.length}, floats.dtype(torch::kInt64));
  targets_BL_ = torch::zeros_like(tokens_BL_);
  loss_sum_ = torch::zeros({}, floats);
  nll_BL_ = torch::zeros({B, extent.length}, floats);
  caches_ = model->static_caches(B, extent.attended, device);
  teacher_BLE_ = distills() ? torch::zeros({B, extent.length, model->shape().hidden_size},
                                           floats.dtype(model->compute_dtype()))
                            : torch::Tensor();
}

bool BlockRunner::may_capture(Llama& model) const {
  return options_.cuda_graphs && CapturedGraph::available(tokens_BL_.device()) &&
         (!options_.train || gradients_exist(model));
}

void BlockRunner::run(Llama& model, const BlockStep& step, const torch::Tensor& tokens_BT,
                      const torch::Tensor& targets_BT, const torch::Tensor& teacher_BTE) {
  TORCH_CHECK(distills() == teacher_BTE.defined(), "a teacher belongs to cache.distill > 0");
  if (distills()) {
    teacher_BLE_.narrow(/*dim=*/1, 0, step.length())
        .copy_(teacher_BTE.narrow(/*dim=*/1, step.begin, step.length()));
  }
  const auto put = [&](const torch::Tensor& from_BT, torch::Tensor& into_BL) {
    into_BL.narrow(/*dim=*/1, 0, step.length())
        .copy_(from_BT.narrow(/*dim=*/1, step.begin, step.length()));
  };
  put(tokens_BT, tokens_BL_);
  put(targets_BT, targets_BL_);
  kinds_.run(model, step, tokens_BL_.device(), capture_allowed_,
             [&](const AttentionInput& input) { work(model, input); });
}

void BlockRunner::work(Llama& model, const AttentionInput& input) {
  const BlockStep& step = input.step;
  const int64_t L = step.length(), count = scored(step);
  for (auto& state : caches_) state.use_home(step.cached);
  torch::AutoGradMode gradients(options_.train);
  const auto hidden_BLE = model->forward_block(tokens_BL_.narrow(/*dim=*/1, 0, L), input, caches_);
  if (count == 0) return;
  const auto targets_X = targets_BL_.narrow(/*dim=*/1, 0, count).reshape({-1});
  const auto hidden_XE = hidden_BLE.narrow(/*dim=*/1, 0, count).flatten(0, 1);
  if (!options_.train) {
    const auto nll_X = target_nll(hidden_XE, model->head_weight(), targets_X, options_.loss_chunk);
    nll_BL_.narrow(/*dim=*/1, 0, count).copy_(nll_X.view({-1, count}));
    return;
  }
  const auto loss =
      chunked_cross_entropy(hidden_XE, model->head_weight(), targets_X, options_.loss_chunk);
  auto objective = loss;
  if (distills()) {
    const auto teacher_XE = teacher_BLE_.narrow(/*dim=*/1, 0, count).flatten(0, 1);
    objective = loss + options_.cache.distill * distillation_loss(hidden_XE, teacher_XE,
                                                                  model->head_weight(),
                                                                  options_.loss_chunk);
  }
  // With the convolutions alone in training a block before the first compression depends on no
  // trained parameter.
  if (objective.requires_grad()) objective.backward();
  torch::NoGradGuard no_grad;
  loss_sum_.add_(loss);
}

}  // namespace lococo
