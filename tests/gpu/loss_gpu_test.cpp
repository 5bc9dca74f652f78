// The fused cross-entropy against log_softmax, and the chunked loss on a GPU against all logits at
// once.

#include <limits>

#include "pass/loss.h"
#include "tensor/kit/torch.h"
#include "tensor/layers/softmax_cross_entropy.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// Targets 0 .. V - 1, every fifth ignored.
torch::Tensor some_targets(int64_t X, int64_t V) {
  auto targets_X = torch::arange(X, torch::kInt64) * 7919 % V;
  targets_X.index_put_({torch::arange(2, X, 5)}, kIgnoreTarget);
  if (X > 1) targets_X[1] = V - 1;
  return targets_X.to(torch::kCUDA);
}

SoftmaxCrossEntropy exact(const torch::Tensor& logits_XV, const torch::Tensor& targets_X) {
  const auto log_p = torch::log_softmax(logits_XV.to(torch::kFloat64), /*dim=*/1);
  const auto valid_X1 = (targets_X != kIgnoreTarget).unsqueeze(-1);
  const auto targets_X1 = targets_X.clamp_min(0).unsqueeze(-1);
  auto gradient = log_p.exp().scatter_add(
      /*dim=*/1, targets_X1, torch::full(targets_X1.sizes(), -1.0, log_p.options()));
  return {(-log_p.gather(/*dim=*/1, targets_X1) * valid_X1).squeeze(-1).to(torch::kFloat32),
          gradient * valid_X1};
}

struct Loss {
  torch::Tensor value, hidden_gradient, head_gradient;
};

constexpr int64_t kX = 45, kE = 64, kV = 1000;

/// One backward pass, scaled as a mean over targets would be.
template <typename Function>
Loss run(const torch::Tensor& hidden_XE, const torch::Tensor& head_VE, Function loss_of) {
  const auto hidden = hidden_XE.detach().clone().requires_grad_(true);
  const auto head = head_VE.detach().clone().requires_grad_(true);
  const auto loss = loss_of(hidden, head);
  (loss * 0.25).backward();
  return {loss.detach(), hidden.grad(), head.grad()};
}

}  // namespace

TEST_CASE("fused cross-entropy agrees with log_softmax", "[gpu]") {
  require_cuda();
  const auto logit_dtype = GENERATE(torch::kFloat32, torch::kBFloat16);
  const auto gradient_dtype = GENERATE(torch::kFloat32, torch::kBFloat16);
  const int64_t V = GENERATE(1, 7, 40, 4096, 4100, 32000, 50257);
  INFO(logit_dtype << " " << gradient_dtype << " V=" << V);
  const auto logits = (normal({13, V}, 1, logit_dtype) * 5).to(torch::kCUDA);
  const auto targets = some_targets(13, V);
  const auto want = exact(logits, targets);
  const auto got = softmax_cross_entropy(logits, targets, kIgnoreTarget, gradient_dtype);
  CHECK_CLOSE(got.nll_X, want.nll_X);
  CHECK(got.gradient_XV.scalar_type() == gradient_dtype);
  // Single values, rounded once.
  CHECK_CLOSE(got.gradient_XV, want.gradient_XV,
              /*factor=*/gradient_dtype == torch::kBFloat16 ? 0.1 : 1.0);
  CHECK(got.nll_X[2].item<float>() == 0.0F);
  CHECK(got.gradient_XV[2].abs().max().item<float>() == 0.0F);
  const auto value_only = softmax_cross_entropy(logits, targets, kIgnoreTarget, std::nullopt);
  CHECK_SAME(value_only.nll_X, got.nll_X);
  CHECK_FALSE(value_only.gradient_XV.defined());
  CHECK_SAME(softmax_cross_entropy(logits, targets, kIgnoreTarget, gradient_dtype).gradient_XV,
             got.gradient_XV);
}

TEST_CASE("fused cross-entropy of extreme logits and wrong targets", "[gpu]") {
  require_cuda();
  auto logits = torch::zeros({4, 16}, torch::kCUDA);
  logits[0] = torch::arange(16, torch::kCUDA) * 1e30;
  logits[1] = -std::numeric_limits<float>::infinity();
  logits[1][3] = -5.0;
  logits[2][4] = std::numeric_limits<float>::quiet_NaN();
  const auto targets = torch::tensor(std::vector<int64_t>{15, 3, 0, 16}).to(torch::kCUDA);
  const auto got = softmax_cross_entropy(logits, targets, kIgnoreTarget, torch::kFloat32);
  CHECK(got.nll_X[0].item<float>() == 0.0F);
  CHECK(got.nll_X[1].item<float>() == 0.0F);
  CHECK(got.gradient_XV.narrow(0, 0, 2).abs().max().item<float>() == 0.0F);
  CHECK(got.nll_X.narrow(0, 2, 2).isnan().all().item<bool>());
}

TEST_CASE("chunked cross-entropy on a GPU is that of all logits, in value and both gradients",
          "[gpu]") {
  require_cuda();
  const auto dtype = GENERATE(torch::kBFloat16, torch::kFloat32);
  const auto head_dtype = GENERATE(torch::kFloat32, torch::kBFloat16);
  if (dtype == torch::kFloat32 && head_dtype == torch::kBFloat16) return;
  const int64_t chunk = GENERATE(1, 7, 44, 45, 100);
  INFO(dtype << " " << head_dtype << " chunk " << chunk);
  const auto hidden = normal({kX, kE}, 1, dtype).to(torch::kCUDA);
  const auto head = (normal({kV, kE}, 2, head_dtype) / 4).to(torch::kCUDA);
  const auto targets = some_targets(kX, kV);
  const auto got = run(hidden, head, [&](const torch::Tensor& h, const torch::Tensor& w) {
    return chunked_cross_entropy(h, w, targets, chunk);
  });
  // The same rounded values, wide.
  const auto want = run(hidden.to(torch::kFloat64), head.to(dtype).to(torch::kFloat64),
                        [&](const torch::Tensor& h, const torch::Tensor& w) {
                          return cross_entropy_reference(h, w, targets);
                        });
  CHECK(got.value.scalar_type() == torch::kFloat32);
  CHECK_CLOSE(got.value, want.value.to(torch::kFloat32), /*factor=*/2.0);
  CHECK(got.hidden_gradient.scalar_type() == dtype);
  CHECK(got.head_gradient.scalar_type() == head_dtype);
  // The gradient of the logits is rounded to the dtype of hidden, whatever the head's; in bfloat16
  // so are the sums over chunks. Errors are measured against the largest element.
  const double factor = dtype == torch::kBFloat16 ? 0.5 : 10.0;
  auto check_gradient = [&](const torch::Tensor& gradient, const torch::Tensor& exact_gradient) {
    const double scale = exact_gradient.abs().max().item<double>();
    CHECK_CLOSE(gradient.to(dtype) / scale, exact_gradient / scale, factor);
  };
  check_gradient(got.hidden_gradient, want.hidden_gradient);
  check_gradient(got.head_gradient, want.head_gradient);
  CHECK(got.hidden_gradient[2].abs().max().item<double>() == 0.0);  // an ignored target's row
  const auto again = run(hidden, head, [&](const torch::Tensor& h, const torch::Tensor& w) {
    return chunked_cross_entropy(h, w, targets, chunk);
  });
  CHECK_SAME(again.value, got.value);
  CHECK_SAME(again.hidden_gradient, got.hidden_gradient);
}

TEST_CASE("a chunked loss on a GPU can be differentiated twice from one forward pass", "[gpu]") {
  require_cuda();
  const auto hidden = normal({kX, kE}, 1, torch::kBFloat16).to(torch::kCUDA).requires_grad_(true);
  const auto head = normal({kV, kE}, 2, torch::kBFloat16).to(torch::kCUDA);
  const auto loss = chunked_cross_entropy(hidden, head, some_targets(kX, kV), 16);
  auto gradient = [&](double scale) {
    return torch::autograd::grad({loss * scale}, {hidden}, {}, /*retain_graph=*/true)[0];
  };
  const auto first = gradient(0.5);
  CHECK_SAME(gradient(0.5), first);
}

TEST_CASE("the NLL of each target on a GPU is that of all logits", "[gpu]") {
  require_cuda();
  const auto hidden = normal({kX, kE}, 1, torch::kBFloat16).to(torch::kCUDA);
  const auto head = (normal({kV, kE}, 2, torch::kBFloat16) / 4).to(torch::kCUDA);
  const auto targets = some_targets(kX, kV);
  const auto logits = torch::mm(hidden.to(torch::kFloat64), head.to(torch::kFloat64).t());
  CHECK_CLOSE(target_nll(hidden, head, targets, 16), exact(logits, targets).nll_X,
              /*factor=*/2.0);
}
