#include "pass/stage_runner.h"

#include <torch/csrc/autograd/autograd.h>

#include "pass/block_buffers.h"
#include "tensor/kit/torch.h"

namespace lococo {

StageRunner::Slot& StageRunner::slot_of(int64_t number) {
  return slots_[static_cast<size_t>(number % options_.depth)];
}

/// A forward pass leaves its activations to the backward pass of its slot, while other slots run.
CapturedGraph::Pool StageRunner::pool_of(int64_t number) const {
  if (!options_.train) return CapturedGraph::kSharedPool;
  return options_.first_pool + static_cast<CapturedGraph::Pool>(number % options_.depth);
}

torch::Tensor StageRunner::view(const torch::Tensor& flat, const BlockStep& step) const {
  const int64_t B = head_.targets_BL().size(0), L = step.length();
  return flat.narrow(/*dim=*/0, 0, B * L * width_).view({B, L, width_});
}

torch::Tensor StageRunner::entering(const BlockStep& step, int64_t number) {
  return view(slot_of(number).entering, step);
}
torch::Tensor StageRunner::leaving(const BlockStep& step, int64_t number) {
  return view(slot_of(number).leaving, step);
}
torch::Tensor StageRunner::entering_gradient(const BlockStep& step, int64_t number) {
  return view(slot_of(number).entering_gradient, step);
}
torch::Tensor StageRunner::leaving_gradient(const BlockStep& step, int64_t number) {
  return view(slot_of(number).leaving_gradient, step);
}

void StageRunner::begin(Llama& model, int64_t B, const std::vector<BlockStep>& plan,
                        torch::Device device) {
  static const std::vector<CacheState> no_caches;
  const auto& caches = slots_.empty() ? no_caches : slots_.front().caches;
  const auto extent =
      extent_to_make(plan, B, device, model->compute_dtype(), {head_.targets_BL(), caches});
  if (extent) allocate(model, B, *extent, device);
  if (recorded_.has_moved(model)) {
    for (Slot& slot : slots_) slot.kinds.clear();
  }
  capture_allowed_ = options_.cuda_graphs && may_record(model, device, options_.train);
  head_.begin();
  // What a policy makes of its weights serves all slots.
  auto& first = slots_.front().caches;
  model->prepare_caches(first);
  for (Slot& slot : slots_) {
    for (size_t n = 0; n < first.size(); ++n) slot.caches[n].prepared_KOC = first[n].prepared_KOC;
  }
}

void StageRunner::allocate(Llama& model, int64_t B, const PlanExtent& extent,
                           torch::Device device) {
  slots_.clear();  // before others are made
  width_ = model->shape().hidden_size;
  head_.allocate(B, extent.length, device);
  const LayerRange& range = model->range();
  const auto hidden = torch::dtype(model->compute_dtype()).device(device);
  const int64_t elements = B * extent.length * width_;
  slots_ = std::vector<Slot>(static_cast<size_t>(options_.depth));
  for (Slot& slot : slots_) {
    slot.caches = model->static_caches(B, extent.attended, device);
    if (range.begins_model()) {
      slot.tokens_BL = torch::zeros_like(head_.targets_BL());
    } else {
      slot.entering = torch::zeros({elements}, hidden);
      if (options_.train) slot.entering_gradient = torch::zeros({elements}, hidden);
    }
    if (range.ends_model()) continue;
    slot.leaving = torch::zeros({elements}, hidden);
    if (options_.train) slot.leaving_gradient = torch::zeros({elements}, hidden);
  }
}

void StageRunner::forward(Llama& model, const BlockStep& step, int64_t number,
                          const torch::Tensor& tokens_BT, const torch::Tensor& targets_BT) {
  Slot& slot = slot_of(number);
  const Slot& before = slot_of(number + options_.depth - 1);
  if (model->range().begins_model()) put_block(tokens_BT, step, slot.tokens_BL);
  if (model->range().ends_model()) put_block(targets_BT, step, head_.targets_BL());
  slot.kind = &slot.kinds.kind_of(model, step, head_.targets_BL().device());
  slot.kind->work.run(
      capture_allowed_, [&] { forward_work(model, slot.kind->input, slot, before); },
      pool_of(number));
}

void StageRunner::forward_work(Llama& model, const AttentionInput& input, Slot& slot,
                               const Slot& before) {
  const BlockStep& step = input.step;
  for (size_t n = 0; n < slot.caches.size(); ++n)
    slot.caches[n].use_home_of(before.caches[n], step.cached);
  torch::AutoGradMode gradients(options_.train);
  if (model->range().begins_model()) {
    slot.in = slot.tokens_BL.narrow(/*dim=*/1, 0, step.length());
  } else {
    slot.in = view(slot.entering, step).detach().requires_grad_(options_.train);
  }
  slot.out = model->forward_block(slot.in, input, slot.caches);
  if (model->range().ends_model()) {
    slot.out = head_.score(model, step, slot.out);
  } else {
    view(slot.leaving, step).copy_(slot.out.detach());
  }
  slot.kind->has_backward = slot.out.defined() && slot.out.requires_grad();
  if (!slot.kind->has_backward) slot.in = slot.out = torch::Tensor();
}

void StageRunner::backward(Llama& model, const BlockStep& step, int64_t number) {
  Slot& slot = slot_of(number);
  TORCH_CHECK(slot.kind != nullptr && options_.train, "block ", number, " has not gone forward");
  if (slot.kind->has_backward) {
    slot.kind->backward.run(
        capture_allowed_, [&] { backward_work(model, step, slot); }, pool_of(number));
  } else if (!model->range().begins_model()) {
    view(slot.entering_gradient, step).zero_();  // no target reaches back
  }
  slot.kind = nullptr;
}

void StageRunner::backward_work(const Llama& model, const BlockStep& step, Slot& slot) {
  const bool ends = model->range().ends_model();
  const auto gradient = ends ? torch::Tensor() : view(slot.leaving_gradient, step);
  torch::autograd::backward({slot.out}, {gradient});
  if (!model->range().begins_model()) {
    torch::NoGradGuard no_grad;
    view(slot.entering_gradient, step).copy_(slot.in.grad());
  }
  slot.in = slot.out = torch::Tensor();
}

}  // namespace lococo
