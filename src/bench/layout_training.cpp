#include "bench/layout_training.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <iterator>

#include "core/error.h"
#include "core/progress_count.h"
#include "pipeline/pipeline_pass.h"
#include "setup/session.h"
#include "tensor/kit/memory_stats.h"
#include "tensor/kit/torch.h"
#include "train/step_sums.h"

namespace lococo {
namespace {

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
      pipeline_(make_pipeline(config, group, device)) {
  TORCH_CHECK(layout.ranks() == group.size(), layout.name(), " on ", group.size(), " ranks");
}

void LayoutTraining::load(int64_t sequences) {
  prepared_ = prepare_model(config_, device_, part_of(pipeline_.get()));
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
  const auto batch_at = [&](int64_t i) -> Batch {
    note_progress();
    return {micro_batches_BT_[static_cast<size_t>(i)]};
  };
  const auto results = pass_->train_all(prepared_.model, std::ssize(micro_batches_BT_), batch_at);
  int64_t tokens = 0;
  for (const torch::Tensor& tokens_BT : micro_batches_BT_) tokens += tokens_BT.numel();
  const StepSums sums =
      sum_over_ranks(results, tokens, group_, pipeline_.get(), device_, &*optimizer_);
  const auto norm =
      optimizer_->scale_and_clip(static_cast<double>(sums.targets), config_.train.clip);
  TORCH_CHECK(std::isfinite(sums.loss_sum) && std::isfinite(norm.item<double>()),
              "the loss of random tokens is not finite");
  optimizer_->step(/*lr_factor=*/0.0);
  group_.all_reduce_max_int(peak_memory_bytes(device_));
  group_.all_reduce_max_int(/*signal=*/0);
  note_progress();
}

}  // namespace lococo
