#include "tensor/layers/rms_norm.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("the gradients of a norm and of a sum with its norm agree with differences", "[tensor]") {
  const auto x = normal({2, 3, 6}, 1, torch::kFloat64).requires_grad_(true);
  const auto residual = normal({2, 3, 6}, 2, torch::kFloat64).requires_grad_(true);
  const auto weight = normal({6}, 3, torch::kFloat64).requires_grad_(true);
  CHECK(gradient_error([&] { return weighted_sum(rms_norm(x, weight, 0.1)); }, {x, weight}) == "");
  auto loss = [&] {
    const auto out = add_rms_norm(x, residual, weight, 0.1);
    return weighted_sum(out.sum, 1) + weighted_sum(out.normed, 2);
  };
  CHECK(gradient_error(loss, {x, residual, weight}) == "");
}

TEST_CASE("a sum is rounded to half precision before it is normed", "[tensor]") {
  const auto x = normal({5, 64}, 1, torch::kBFloat16),
             residual = normal({5, 64}, 2, torch::kBFloat16);
  const auto weight = normal({64}, 3);
  const auto out = add_rms_norm(x, residual, weight, 1e-5);
  CHECK(out.normed.scalar_type() == torch::kBFloat16);
  CHECK_SAME(out.sum, x + residual);
  CHECK_SAME(out.normed, rms_norm(out.sum, weight, 1e-5));
}

TEST_CASE("norms of unequal shapes or dtypes are refused", "[tensor]") {
  const auto x = torch::zeros({2, 8}), weight = torch::ones({8});
  CHECK_THROWS_AS(rms_norm(x, torch::ones({4}), 1e-5), c10::Error);
  CHECK_THROWS_AS(add_rms_norm(x, torch::zeros({1, 8}), weight, 1e-5), c10::Error);
  CHECK_THROWS_AS(add_rms_norm(x, x.to(torch::kFloat64), weight, 1e-5), c10::Error);
}
