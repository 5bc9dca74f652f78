#include "pass/bptt_windows.h"

#include <ATen/ops/ones_like.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <vector>

#include "lococo/step_plan.h"
#include "pass/loss.h"

namespace lococo {
namespace {

using Caches = std::vector<CacheState>;  ///< one for each layer

/// What a backward pass starts from: tensors and the gradients that are known for them.
struct Roots {
  void add(const torch::Tensor& tensor, const torch::Tensor& gradient) {
    // With the convolutions alone in training nothing before the first compression is trained, nor,
    // without mix_keys, any key; and the caches that a window's last block leaves reach no loss.
    if (!tensor.defined() || !gradient.defined() || !tensor.requires_grad()) return;
    tensors.push_back(tensor);
    gradients.push_back(gradient);
  }

  void backward() const {
    if (!tensors.empty()) torch::autograd::backward(tensors, gradients);
  }

  std::vector<torch::Tensor> tensors, gradients;
};

torch::Tensor cut_from_graph(const torch::Tensor& x_BGSD, bool wants_gradient) {
  if (!x_BGSD.defined()) return x_BGSD;
  // The first block's values are a view of its projections, which need not live on.
  return x_BGSD.detach().contiguous().requires_grad_(wants_gradient);
}

Caches cut_from_graph(const Caches& caches, bool wants_gradient) {
  Caches cut;
  for (const CacheState& state : caches) {
    cut.push_back(state);
    cut.back().k_BGSD = cut_from_graph(state.k_BGSD, wants_gradient);
    cut.back().v_BGSD = cut_from_graph(state.v_BGSD, wants_gradient);
  }
  return cut;
}

class WindowedTraining {
 public:
  WindowedTraining(Llama model, const Batch& part, const CacheConfig& cache, int64_t loss_chunk)
      : model_(std::move(model)),
        tokens_BT_(part.tokens_BT),
        targets_BT_(targets_of(part)),
        boundary_targets_(cache.boundary_targets),
        loss_chunk_(loss_chunk),
        caches_(model_->empty_caches()) {}

  void run_window(const std::vector<BlockStep>& window);
  /// Undefined when no target counted.
  const torch::Tensor& loss_sum() const { return loss_sum_; }

 private:
  torch::Tensor forward(const BlockStep& step, Caches& caches, bool carry_gradient);
  torch::Tensor loss_of(const BlockStep& step, const torch::Tensor& hidden_BLE);

  Llama model_;
  torch::Tensor tokens_BT_, targets_BT_;
  bool boundary_targets_;
  int64_t loss_chunk_;
  Caches caches_;  ///< before the next window
  torch::Tensor loss_sum_;
};

void WindowedTraining::run_window(const std::vector<BlockStep>& window) {
  if (window.front().begins_document()) caches_ = model_->empty_caches();
  // The second run of a block starts from the very tensors of the first, masses included: it
  // chooses the same slots, in the same code.
  std::vector<Caches> before = {cut_from_graph(caches_, /*wants_gradient=*/false)};
  caches_.clear();
  while (before.size() < window.size()) {
    torch::NoGradGuard no_grad;
    auto caches = before.back();
    forward(window[before.size() - 1], caches, /*carry_gradient=*/false);
    before.push_back(cut_from_graph(caches, /*wants_gradient=*/true));
  }

  Caches after;  // the leaves that the following block started from: their .grad is known
  while (!before.empty()) {
    const BlockStep& step = window[before.size() - 1];
    const bool is_last = before.size() == window.size();
    auto caches = before.back();
    const auto loss = loss_of(step, forward(step, caches, /*carry_gradient=*/!is_last));
    Roots roots;
    if (loss.defined()) roots.add(loss, torch::ones_like(loss));
    for (size_t n = 0; n < after.size(); ++n) {
      roots.add(caches[n].k_BGSD, after[n].k_BGSD.grad());
      roots.add(caches[n].v_BGSD, after[n].v_BGSD.grad());
    }
    roots.backward();
    if (is_last) caches_ = std::move(caches);
    after = std::move(before.back());
    before.pop_back();
  }
}

torch::Tensor WindowedTraining::forward(const BlockStep& step, Caches& caches,
                                        bool carry_gradient) {
  auto input = model_->block_input(step, tokens_BT_.device());
  input.carry_gradient = carry_gradient;
  const auto tokens_BL = tokens_BT_.narrow(/*dim=*/1, step.begin, step.length());
  return model_->forward_block(tokens_BL, input, caches);
}

/// Undefined when no target of the block counts.
torch::Tensor WindowedTraining::loss_of(const BlockStep& step, const torch::Tensor& hidden_BLE) {
  const int64_t count = queries_with_target(step, boundary_targets_);
  if (count == 0) return {};
  const auto targets_X = targets_BT_.narrow(/*dim=*/1, step.begin, count).reshape({-1});
  const auto hidden_XE = hidden_BLE.narrow(/*dim=*/1, 0, count).flatten(0, 1);
  const auto loss = chunked_cross_entropy(hidden_XE, model_->head_weight(), targets_X, loss_chunk_);
  loss_sum_ = loss_sum_.defined() ? loss_sum_ + loss.detach() : loss.detach();
  return loss;
}

/// One past the last block of the window that begins with block `begin`: no gradient crosses the
/// border of a document.
size_t window_end(const std::vector<BlockStep>& plan, size_t begin, size_t most) {
  size_t end = begin + 1;
  while (end < plan.size() && end - begin < most && !plan[end].begins_document()) ++end;
  return end;
}

PassResult train_part(Llama& model, const Batch& part, const CacheConfig& cache,
                      int64_t loss_chunk) {
  const auto W = static_cast<size_t>(cache.bptt_blocks);
  const auto plan = plan_of(part, cache);
  WindowedTraining training(model, part, cache, loss_chunk);
  for (size_t begin = 0; begin < plan.size();) {
    const size_t end = window_end(plan, begin, W);
    training.run_window({plan.data() + begin, plan.data() + end});
    begin = end;
  }
  const auto& loss = training.loss_sum();
  const auto none = torch::dtype(torch::kFloat32).device(part.tokens_BT.device());
  return {loss.defined() ? loss : torch::zeros({}, none),
          count_targets(part, plan, cache.boundary_targets)};
}

}  // namespace

PassResult train_in_windows(Llama& model, const Batch& batch, const CacheConfig& cache,
                            int64_t loss_chunk) {
  return sum_over_parts(
      batch, [&](const Batch& part) { return train_part(model, part, cache, loss_chunk); });
}

}  // namespace lococo
