#include "tensor/kit/matmul.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("products of half precision inputs keep their float32 sums", "[tensor]") {
  const auto dtype = GENERATE(torch::kBFloat16, torch::kFloat16, torch::kFloat32);
  const auto a = normal({2, 5, 64}, 1, dtype), b = normal({2, 64, 7}, 2, dtype);
  const auto batched = batched_matmul_f32(a, b);
  CHECK(batched.scalar_type() == torch::kFloat32);
  const auto exact = torch::bmm(a.to(torch::kFloat64), b.to(torch::kFloat64)).to(torch::kFloat32);
  CHECK_CLOSE(batched, exact);
  CHECK_CLOSE(matmul_f32(a[0], b[0]), exact[0]);
}

TEST_CASE("a product carries no gradient", "[tensor]") {
  const auto a = normal({2, 3}, 1).requires_grad_(true), b = normal({3, 2}, 2);
  CHECK_FALSE(matmul_f32(a, b).requires_grad());
  CHECK_FALSE(batched_matmul_f32(a.unsqueeze(0), b.unsqueeze(0)).requires_grad());
}
