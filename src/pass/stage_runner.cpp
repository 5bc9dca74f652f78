#include "pass/stage_runner.h"

#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

#include "pass/batch.h"
#include "pass/loss.h"
#include "pass/recorded_model.h"

namespace lococo {

int64_t StageRunner::scored(const BlockStep& step) const {
  return queries_with_target(step, !options_.train || options_.cache.boundary_targets);
}

StageRunner::Slot& StageRunner::slot_of(int64_t number) {
  return slots_[static_cast<size_t>(number % options_.depth)];
}

/// A forward pass leaves its activations to the backward pass of its slot, while other slots run.
CapturedGraph::Pool StageRunner::pool_of(int64_t number) const {
  if (!options_.train) return CapturedGraph::kSharedPool;
  return options_.first_pool + static_cast<CapturedGraph::Pool>(number % options_.depth);
}

torch::Tensor StageRunner::view(const torch::Tensor& flat, const BlockStep& step) const {
  const int64_t B = targets_BL_.size(0), L = step.length();
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
  auto extent = extent_of(plan);
  const bool same =
      targets_BL_.defined() && targets_BL_.size(0) == B && targets_BL_.device() == device &&
      slots_.front().caches.front().k_home_BGCD.scalar_type() == model->compute_dtype();
  // Buffers only grow: sequences of many lengths come in turn, and what is recorded stays.
  const PlanExtent held = {same ? targets_BL_.size(1) : 0,
                           same ? slots_.front().caches.front().k_home_BGCD.size(2) : 0};
  if (extent.length > held.length || extent.attended > held.attended) {
    extent = {std::max(extent.length, held.length), std::max(extent.attended, held.attended)};
    allocate(model, B, extent, device);
  }
  auto addresses = addresses_of(model);
  if (addresses != addresses_) {
    for (Slot& slot : slots_) slot.kinds.clear();
    addresses_ = std::move(addresses);
  }
  capture_allowed_ = options_.cuda_graphs && CapturedGraph::available(device) &&
                     (!options_.train || gradients_exist(model));
  loss_sum_.zero_();
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
  const auto floats = torch::dtype(torch::kFloat32).device(device);
  targets_BL_ = torch::zeros({B, extent.length}, floats.dtype(torch::kInt64));
  loss_sum_ = torch::zeros({}, floats);
  nll_BL_ = torch::zeros({B, extent.length}, floats);
  const LayerRange& range = model->range();
  const auto hidden = floats.dtype(model->compute_dtype());
  const int64_t elements = B * extent.length * width_;
  slots_ = std::vector<Slot>(static_cast<size_t>(options_.depth));
  for (Slot& slot : slots_) {
    slot.caches = model->static_caches(B, extent.attended, device);
    if (range.begins_model()) {
      slot.tokens_BL = torch::zeros_like(targets_BL_);
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
  const auto put = [&](const torch::Tensor& from_BT, const torch::Tensor& into_BL) {
    into_BL.narrow(/*dim=*/1, 0, step.length())
        .copy_(from_BT.narrow(/*dim=*/1, step.begin, step.length()));
  };
  if (model->range().begins_model()) put(tokens_BT, slot.tokens_BL);
  if (model->range().ends_model()) put(targets_BT, targets_BL_);
  slot.kind = &slot.kinds.kind_of(model, step, targets_BL_.device());
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
    slot.out = score(model, step, slot.out);
  } else {
    view(slot.leaving, step).copy_(slot.out.detach());
  }
  slot.kind->has_backward = slot.out.defined() && slot.out.requires_grad();
  if (!slot.kind->has_backward) slot.in = slot.out = torch::Tensor();
}

/// The loss of a block, undefined where there is none or nothing is trained.
torch::Tensor StageRunner::score(Llama& model, const BlockStep& step,
                                 const torch::Tensor& hidden_BLE) {
  const int64_t count = scored(step);
  if (count == 0) return {};
  const auto targets_X = targets_BL_.narrow(/*dim=*/1, 0, count).reshape({-1});
  const auto hidden_XE = hidden_BLE.narrow(/*dim=*/1, 0, count).flatten(0, 1);
  if (!options_.train) {
    const auto nll_X = target_nll(hidden_XE, model->head_weight(), targets_X, options_.loss_chunk);
    nll_BL_.narrow(/*dim=*/1, 0, count).copy_(nll_X.view({-1, count}));
    return {};
  }
  const auto loss =
      chunked_cross_entropy(hidden_XE, model->head_weight(), targets_X, options_.loss_chunk);
  torch::NoGradGuard no_grad;
  loss_sum_.add_(loss);
  return loss;
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
