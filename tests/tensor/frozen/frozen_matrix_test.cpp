#include "tensor/frozen/frozen_matrix.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("a dense frozen matrix is the tensor that it was made of", "[tensor]") {
  const auto w = normal({4, 6}, 1), x = normal({2, 3, 6}, 2), dy = normal({5, 4}, 3);
  const FrozenMatrix matrix = w;
  CHECK(matrix.defined());
  CHECK(matrix.out_features() == 4);
  CHECK(matrix.in_features() == 6);
  CHECK(matrix.bytes() == 4 * 6 * 4);
  CHECK(matrix.dense().is_same(w));
  CHECK(matrix.dequantised(torch::kFloat32).is_same(w));
  CHECK_SAME(matrix.product(x), at::linear(x, w));
  CHECK_SAME(matrix.input_gradient(dy), torch::mm(dy, w));
  auto sum = normal({5, 6}, 4);
  const auto want = torch::addmm(sum, dy, w);
  matrix.add_input_gradient(sum, dy);
  CHECK_CLOSE(sum, want);
}

TEST_CASE("products of a frozen matrix have the dtype of their input", "[tensor]") {
  const auto w = normal({4, 6}, 1), x = normal({3, 6}, 2, torch::kBFloat16);
  const auto rounded = w.to(torch::kBFloat16);
  CHECK_SAME(FrozenMatrix(w).product(x), at::linear(x, rounded));
  CHECK_SAME(FrozenMatrix(w).input_gradient(normal({3, 4}, 3, torch::kBFloat16)),
             torch::mm(normal({3, 4}, 3, torch::kBFloat16), rounded));
}

TEST_CASE("a matrix that wants a gradient is not frozen", "[tensor]") {
  CHECK_THROWS_AS(FrozenMatrix(normal({2, 2}, 1).requires_grad_(true)), c10::Error);
  CHECK_FALSE(FrozenMatrix().defined());
}

TEST_CASE("an autograd context keeps matrices", "[tensor]") {
  const auto a = normal({2, 3}, 1), b = normal({3, 2}, 2);
  const auto kept = keep_matrices({a, b});
  REQUIRE(kept_matrices(kept).size() == 2);
  CHECK(kept_matrices(kept)[1].dense().is_same(b));
}
