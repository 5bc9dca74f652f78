#include "pass/block_runner.h"

#include "pass/block_buffers.h"
#include "pass/distillation.h"
#include "tensor/kit/torch.h"

namespace lococo {

void BlockRunner::begin(Llama& model, int64_t B, const std::vector<BlockStep>& plan,
                        torch::Device device) {
  const auto extent =
      extent_to_make(plan, B, device, model->compute_dtype(), {tokens_BL_, caches_});
  if (extent) allocate(model, B, *extent, device);
  if (recorded_.has_moved(model)) kinds_.clear();
  capture_allowed_ = options_.cuda_graphs && may_record(model, device, options_.train);
  head_.begin();
  for (auto& state : caches_) state.use_home(0);
  model->prepare_caches(caches_);
}

void BlockRunner::allocate(Llama& model, int64_t B, const PlanExtent& extent,
                           torch::Device device) {
  kinds_.clear();
  caches_.clear();  // before others are made
  const auto floats = torch::dtype(torch::kFloat32).device(device);
  tokens_BL_ = torch::zeros({B, extent.length}, floats.dtype(torch::kInt64));
  head_.allocate(B, extent.length, device);
  caches_ = model->static_caches(B, extent.attended, device);
  teacher_BLE_ = distills() ? torch::zeros({B, extent.length, model->shape().hidden_size},
                                           floats.dtype(model->compute_dtype()))
                            : torch::Tensor();
}

void BlockRunner::run(Llama& model, const BlockStep& step, const torch::Tensor& tokens_BT,
                      const torch::Tensor& targets_BT, const torch::Tensor& teacher_BTE) {
  TORCH_CHECK(distills() == teacher_BTE.defined(), "a teacher belongs to cache.distill > 0");
  if (distills()) put_block(teacher_BTE, step, teacher_BLE_);
  put_block(tokens_BT, step, tokens_BL_);
  put_block(targets_BT, step, head_.targets_BL());
  kinds_.run(model, step, tokens_BL_.device(), capture_allowed_,
             [&](const AttentionInput& input) { work(model, input); });
}

void BlockRunner::work(Llama& model, const AttentionInput& input) {
  const BlockStep& step = input.step;
  for (auto& state : caches_) state.use_home(step.cached);
  torch::AutoGradMode gradients(options_.train);
  const auto tokens_BL = tokens_BL_.narrow(/*dim=*/1, 0, step.length());
  const auto hidden_BLE = model->forward_block(tokens_BL, input, caches_);
  auto objective = head_.score(model, step, hidden_BLE);
  if (!objective.defined()) return;
  if (distills()) {
    const int64_t count = scored(step);
    const auto of_targets = [&](const torch::Tensor& x_BLE) {
      return x_BLE.narrow(/*dim=*/1, 0, count).flatten(0, 1);
    };
    objective = objective + options_.cache.distill *
                                distillation_loss(of_targets(hidden_BLE), of_targets(teacher_BLE_),
                                                  model->head_weight(), options_.loss_chunk);
  }
  // With the convolutions alone in training a block before the first compression depends on no
  // trained parameter.
  if (objective.requires_grad()) objective.backward();
}

}  // namespace lococo
