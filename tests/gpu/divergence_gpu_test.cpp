// The fused divergence against log_softmax in float64, and the distillation that takes it against
// all logits at once.

#include "pass/distillation.h"
#include "tensor/kit/torch.h"
#include "tensor/layers/softmax_divergence.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// Every third row has weight 0, every second some truth.
DistilledRows some_rows(int64_t X, int64_t V) {
  DistilledRows rows;
  const auto number_X = torch::arange(X, torch::kInt64);
  rows.weights_X = (number_X % 3).to(torch::kFloat32).to(torch::kCUDA);
  rows.truth_X = (0.5 * (number_X % 2)).to(torch::kFloat32).to(torch::kCUDA);
  rows.targets_X = (number_X * 7919 % V).to(torch::kCUDA);
  return rows;
}

}  // namespace

TEST_CASE("fused divergence agrees with log_softmax", "[gpu]") {
  require_cuda();
  const int64_t V = GENERATE(1, 7, 40, 4096, 4100, 32000, 49152);
  const bool has_truth = GENERATE(true, false);
  INFO("V=" << V << " truth " << has_truth);
  const auto student = on_gpu({13, V}, 1, torch::kFloat32) * 5;
  const auto teacher = on_gpu({13, V}, 2, torch::kFloat32) * 5;
  auto rows = some_rows(13, V);
  if (!has_truth) rows.truth_X = rows.targets_X = torch::Tensor();
  REQUIRE(softmax_divergence_takes(student));
  const auto got =
      softmax_divergence(student, teacher, rows.weights_X, rows.targets_X, rows.truth_X);

  auto leaf = student.to(torch::kFloat64).requires_grad_();
  const auto log_q = torch::log_softmax(leaf, /*dim=*/1);
  const auto log_p = torch::log_softmax(teacher.to(torch::kFloat64), /*dim=*/1);
  auto loss_X = (log_p.exp() * (log_p - log_q)).sum(/*dim=*/1);
  if (has_truth) {
    const auto known_X = log_q.gather(/*dim=*/1, rows.targets_X.unsqueeze(1)).squeeze(1);
    loss_X = (1 - rows.truth_X) * loss_X - rows.truth_X * known_X;
  }
  loss_X = loss_X * rows.weights_X;
  loss_X.sum().backward();
  CHECK(torch::allclose(got.loss_X.to(torch::kFloat64), loss_X.detach(), 1e-4, 1e-4));
  CHECK(torch::allclose(got.gradient_XV.to(torch::kFloat64), leaf.grad(), 1e-2, 1e-6));
  CHECK_SAME(softmax_divergence(student, teacher, rows.weights_X, rows.targets_X, rows.truth_X)
                 .gradient_XV,
             got.gradient_XV);
}

TEST_CASE("a target that is no logit is seen", "[gpu]") {
  require_cuda();
  const auto logits = on_gpu({2, 16}, 1, torch::kFloat32);
  const auto ones = torch::ones({2}, logits.options());
  const auto targets = torch::tensor({16, 3}).to(torch::kCUDA);
  const auto loss = softmax_divergence(logits, logits, ones, targets, 0.5 * ones).loss_X.cpu();
  CHECK(loss.isnan()[0].item<bool>());
  CHECK(loss.isfinite()[1].item<bool>());
}

TEST_CASE("distillation in bfloat16 is near that of all logits in float32", "[gpu]") {
  require_cuda();
  constexpr int64_t X = 45, E = 64, V = 1000;
  const auto hidden = leaf_on_gpu({X, E}, 1, torch::kBFloat16);
  const auto teacher = on_gpu({X, E}, 2), head = on_gpu({V, E}, 3);
  const auto rows = some_rows(X, V);
  const auto got = distillation_loss(hidden, teacher, head, /*chunk=*/20, rows);
  got.backward();
  auto leaf = hidden.detach().to(torch::kFloat32).requires_grad_();
  const auto want = distillation_loss_reference(leaf, teacher.to(torch::kFloat32),
                                                head.to(torch::kFloat32), rows);
  want.backward();
  CHECK(got.item<double>() == Approx(want.item<double>()).epsilon(1e-3));
  const auto off = (hidden.grad().to(torch::kFloat32) - leaf.grad()).norm() / leaf.grad().norm();
  CHECK(off.item<double>() < 0.01);
}
