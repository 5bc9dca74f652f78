#include "tensor/layers/frozen_linear.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr double kScale = 1.5;

/// Three projections of inputs of width 6, of rank 2 where `lora`.
FrozenProjections three_projections(bool lora, torch::ScalarType dtype) {
  FrozenProjections projections;
  const std::vector<int64_t> widths = {4, 3, 5};
  for (size_t i = 0; i < widths.size(); ++i) {
    projections.weights_OE.push_back(normal({widths[i], 6}, 10 + i, dtype));
    if (!lora) continue;
    projections.a_RE.push_back(normal({2, 6}, 20 + i, dtype).requires_grad_(true));
    projections.b_OR.push_back(normal({widths[i], 2}, 30 + i, dtype).requires_grad_(true));
  }
  if (lora) projections.scale = kScale;
  return projections;
}

torch::Tensor written_out(const torch::Tensor& x, const FrozenProjections& p, size_t i) {
  auto y = at::linear(x, p.weights_OE[i].dense());
  if (!p.a_RE.empty()) y = y + at::linear(at::linear(x, p.a_RE[i]), p.b_OR[i]) * p.scale;
  return y;
}

}  // namespace

TEST_CASE("projections of a frozen weight compute base and low-rank part", "[tensor]") {
  const bool lora = GENERATE(false, true);
  const auto projections = three_projections(lora, torch::kFloat32);
  const auto x = normal({2, 5, 6}, 1);
  const bool with_gradient = GENERATE(false, true);
  torch::AutoGradMode mode(with_gradient);
  const auto outputs = frozen_projections(x, projections);
  REQUIRE(outputs.size() == 3);
  for (size_t i = 0; i < outputs.size(); ++i) {
    CHECK(outputs[i].requires_grad() == (with_gradient && lora));
    CHECK_CLOSE(outputs[i], written_out(x, projections, i), /*factor=*/3.0);
  }
}

TEST_CASE("the gradients of frozen projections agree with differences", "[tensor]") {
  const bool lora = GENERATE(false, true);
  const auto projections = three_projections(lora, torch::kFloat64);
  auto x = normal({2, 3, 6}, 1, torch::kFloat64).requires_grad_(true);
  std::vector<torch::Tensor> inputs = {x};
  inputs.insert(inputs.end(), projections.a_RE.begin(), projections.a_RE.end());
  inputs.insert(inputs.end(), projections.b_OR.begin(), projections.b_OR.end());
  auto loss = [&] {
    const auto y = frozen_projections(x, projections);
    return weighted_sum(y[0]) + 2 * weighted_sum(y[1]) - weighted_sum(y[2]);
  };
  CHECK(gradient_error(loss, inputs) == "");
}

TEST_CASE("an output that is not used leaves its own factors without gradient", "[tensor]") {
  const auto projections = three_projections(true, torch::kFloat64);
  auto x = normal({4, 6}, 1, torch::kFloat64).requires_grad_(true);
  const auto y = frozen_projections(x, projections);
  const auto got =
      torch::autograd::grad({weighted_sum(y[2])}, {x, projections.a_RE[0], projections.b_OR[2]}, {},
                            /*retain_graph=*/std::nullopt, /*create_graph=*/false,
                            /*allow_unused=*/true);
  const auto want = torch::autograd::grad({weighted_sum(written_out(x, projections, 2))},
                                          {x, projections.b_OR[2]});
  CHECK_CLOSE(got[0], want[0], /*factor=*/3.0);
  CHECK_FALSE(got[1].defined());
  CHECK_CLOSE(got[2], want[1], /*factor=*/3.0);
}
