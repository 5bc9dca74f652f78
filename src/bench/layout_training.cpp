#include "bench/layout_training.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <iterator>

#include "core/error.h"
#include "core/progress_count.h"
#include "pipeline/pipeline_pass.h"
#include "setup/model_positions.h"
#include "tensor/kit/memory_stats.h"
#include "tensor/kit/torch.h"

namespace lococo {
namespace {

std::unique_ptr<Pipeline> pipeline_of(const Config& config, Communicator& group,
                                      torch::Device device) {
  const int64_t stages = config.distributed.pipeline;
  if (stages == 1) return nullptr;
  const auto parts = stages_of(config, effective_shape(config));
  const auto place = place_in_grid(stages, group.rank(), group.size());
  return std::make_unique<Pipeline>(place, parts[static_cast<size_t>(place.stage)], group, device);
}

/// int64 [B, T + 1], the same on all stages of a replica.
torch::Tensor random_tokens(int64_t vocab_size, int64_t B, int64_t T, int64_t replica) {
  const auto generator = at::detail::createCPUGenerator(/*seed=*/static_cast<uint64_t>(replica));
  return torch::randint(0, vocab_size, {B, T + 1}, generator, torch::dtype(torch::kInt64));
}

}  // namespace

LayoutTraining::LayoutTraining(const Config& config, const Layout& layout, Communicator& group,
                               torch::Device device)
    : config_(config),
      group_(group),
      device_(device),
      pipeline_(pipeline_of(config, group, device)) {
  TORCH_CHECK(layout.ranks() == group.size(), layout.name(), " on ", group.size(), " ranks");
}

void LayoutTraining::load(int64_t sequences) {
  prepared_ =
      prepare_model(config_, device_, pipeline_ ? std::optional(pipeline_->part()) : std::nullopt);
  optimizer_.emplace(
      prepared_.registry->trainable(), config_.train, pipeline_ ? pipeline_->replicas() : group_,
      config_.distributed.shard_optimizer, pipeline_ ? &pipeline_->stages() : nullptr);
  if (optimizer_->parameters().empty())
    throw UserError("tune: nothing is trained; give at least one group a learning rate");
  pass_ = make_pass(config_, pipeline_.get());
  const WorkShare share = share_of(group_, pipeline_.get());
  const auto tokens_NT = random_tokens(prepared_.model->shape().vocab_size, sequences,
                                       config_.data.context_length, share.first);
  micro_batches_BT_ = tokens_NT.to(device_).split(config_.train.micro_batch);
}

void LayoutTraining::step() {
  optimizer_->zero_grad();
  pass_->begin_step(/*step=*/0);
  auto loss_sum = torch::zeros({}, torch::dtype(torch::kFloat32).device(device_));
  int64_t own_targets = 0, own_tokens = 0;
  const auto batch_at = [&](int64_t i) -> Batch {
    note_progress();
    return {micro_batches_BT_[static_cast<size_t>(i)]};
  };
  const auto results = pass_->train_all(prepared_.model, std::ssize(micro_batches_BT_), batch_at);
  for (const PassResult& result : results) {
    loss_sum += result.loss_sum;
    own_targets += result.targets;
  }
  for (const torch::Tensor& tokens_BT : micro_batches_BT_) own_tokens += tokens_BT.numel();
  const auto counts = torch::tensor({own_targets, own_tokens}, torch::kInt64);
  std::vector<torch::Tensor> sums = {loss_sum, counts.to(device_)};
  if (pipeline_) {
    optimizer_->sum_gradients({});
    group_.all_reduce_sum(sums);
  } else {
    optimizer_->sum_gradients(sums);
  }
  const auto targets = sums[1].cpu()[0].item<int64_t>();
  const double loss = sums[0].item<double>();
  const auto norm = optimizer_->scale_and_clip(static_cast<double>(targets), config_.train.clip);
  TORCH_CHECK(std::isfinite(loss) && std::isfinite(norm.item<double>()),
              "the loss of random tokens is not finite");
  optimizer_->step(/*lr_factor=*/0.0);
  group_.all_reduce_max_int(peak_memory_bytes(device_));
  group_.all_reduce_max_int(/*signal=*/0);
  note_progress();
}

}  // namespace lococo
