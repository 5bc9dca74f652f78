#include "tensor/layers/rotary.h"

#include <cmath>

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

torch::Tensor angles(int64_t L, int64_t D) {
  const auto half = normal({L, D / 2}, 7);
  return torch::cat({half, half}, /*dim=*/-1);
}

}  // namespace

TEST_CASE("each element turns with the one half a head away", "[tensor]") {
  const auto a = angles(1, 4);
  const double turn[] = {a[0][0].item<double>(), a[0][1].item<double>()};
  const auto out =
      rotary(torch::tensor({3.0F, 0.0F, 0.0F, 2.0F}).view({1, 1, 1, 4}), a.cos(), a.sin());
  const auto want = torch::tensor({3 * std::cos(turn[0]), -2 * std::sin(turn[1]),
                                   3 * std::sin(turn[0]), 2 * std::cos(turn[1])});
  CHECK_CLOSE(out.flatten(), want.to(torch::kFloat32));
}

TEST_CASE("the gradient of a rotation agrees with differences and is the rotation back",
          "[tensor]") {
  const auto a = angles(5, 6);
  const auto x = normal({2, 3, 5, 6}, 1, torch::kFloat64).requires_grad_(true);
  CHECK(gradient_error([&] { return weighted_sum(rotary(x, a.cos(), a.sin())); }, {x}) == "");
  const auto gradient = normal({2, 3, 5, 6}, 2, torch::kFloat64);
  const auto back = torch::autograd::grad({rotary(x, a.cos(), a.sin())}, {x}, {gradient})[0];
  CHECK_CLOSE(back, rotary(gradient, a.cos(), -a.sin()));
}

TEST_CASE("tables of another length and odd heads are refused", "[tensor]") {
  const auto x = torch::zeros({1, 2, 3, 4});
  const auto a = angles(4, 4);
  CHECK_THROWS_AS(rotary(x, a, a), c10::Error);
  CHECK_THROWS_AS(rotary(torch::zeros({1, 2, 3, 5}), torch::zeros({3, 5}), torch::zeros({3, 5})),
                  c10::Error);
}
