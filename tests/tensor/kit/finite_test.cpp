#include "tensor/kit/finite.h"

#include <limits>

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"

using namespace lococo;

TEST_CASE("the first tensor with NaN or infinity is found, in every dtype", "[tensor]") {
  const auto type = GENERATE(torch::kFloat32, torch::kBFloat16, torch::kFloat16, torch::kFloat64);
  const double value =
      GENERATE(std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
               -std::numeric_limits<double>::infinity());
  std::vector<torch::Tensor> tensors;
  for (int i = 0; i < 4; ++i) tensors.push_back(torch::ones({5, 7}, type));
  CHECK_FALSE(first_non_finite(tensors));
  tensors[3][0][0] = value;
  CHECK(first_non_finite(tensors) == size_t{3});
  tensors[1][4][6] = value;
  CHECK(first_non_finite(tensors) == size_t{1});
}

TEST_CASE("infinities that cancel each other are found", "[tensor]") {
  const float infinity = std::numeric_limits<float>::infinity();
  CHECK(first_non_finite({torch::tensor({infinity, -infinity})}) == size_t{0});
}

TEST_CASE("large finite values whose sum overflows are finite", "[tensor]") {
  CHECK_FALSE(
      first_non_finite({torch::full({64}, 3e38), torch::full({64}, 60000.0, torch::kHalf)}));
  CHECK_FALSE(first_non_finite({}));
  CHECK_FALSE(first_non_finite({torch::empty({0})}));
}
