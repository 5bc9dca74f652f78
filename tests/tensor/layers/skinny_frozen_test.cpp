#include "tensor/layers/skinny_frozen.h"

#include "tensor/kit/torch.h"
#include "tensor/layers/rms_norm.h"
#include "tensor/layers/swiglu.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("few rows of a quantised matrix are its products where no kernel takes them",
          "[tensor]") {
  const auto dtype = GENERATE(torch::kFloat32, torch::kBFloat16, torch::kFloat64);
  const auto precision = GENERATE(BasePrecision::kNf4, BasePrecision::kFp8);
  const auto first = quantise(normal({24, 64}, 1), precision);
  const auto second = quantise(normal({24, 64}, 2), precision);
  const auto x = normal({3, 64}, 3, dtype), residual = normal({3, 24}, 4, dtype);
  const SkinnyNorm norm = {normal({64}, 5, dtype), 1e-5};
  CHECK_FALSE(has_skinny_frozen(x, {first, second}));
  const auto normed = rms_norm(x, norm.weight_K, norm.eps);
  const auto a = first.product(normed), b = second.product(normed);
  CHECK_SAME(skinny_frozen(x, norm, {first, second}), torch::cat({a, b}, 1));
  CHECK_SAME(skinny_frozen(x, SkinnyNorm(), {first}), first.product(x));
  CHECK_SAME(skinny_frozen_add(x, first, residual), residual + first.product(x));
  CHECK_SAME(skinny_frozen_swiglu(x, norm, first, second), swiglu(a, b));
}

TEST_CASE("gate and up of few rows have the same sizes", "[tensor]") {
  const auto gate = quantise(normal({24, 64}, 1), BasePrecision::kFp8);
  const auto up = quantise(normal({23, 64}, 2), BasePrecision::kFp8);
  CHECK_THROWS_AS(skinny_frozen_swiglu(normal({3, 64}, 3), SkinnyNorm(), gate, up), c10::Error);
}
