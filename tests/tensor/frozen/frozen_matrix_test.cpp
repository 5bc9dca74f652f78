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

TEST_CASE("a matrix in NF4 multiplies as its dequantised values do", "[tensor]") {
  const auto dtype = GENERATE(torch::kFloat32, torch::kBFloat16, torch::kFloat64);
  const auto w = normal({37, 50}, 1);
  const auto matrix = quantise(w, BasePrecision::kNf4);
  CHECK(matrix.defined());
  CHECK_FALSE(matrix.is_dense());
  CHECK_THROWS_AS(matrix.dense(), c10::Error);
  CHECK(matrix.out_features() == 37);
  CHECK(matrix.in_features() == 50);
  CHECK(matrix.bytes() == matrix_bytes(37, 50, 2, BasePrecision::kNf4, true));
  const auto dense = matrix.dequantised(dtype);
  CHECK(dense.scalar_type() == dtype);
  CHECK(relative_error(dense, w) < 0.12);  // of normal values 0.097
  const auto x = normal({2, 3, 50}, 2, dtype), dy = normal({5, 37}, 3, dtype);
  CHECK_SAME(matrix.product(x), at::linear(x, dense));
  CHECK_SAME(matrix.input_gradient(dy), torch::mm(dy, dense));
  auto sum = normal({5, 50}, 4, dtype), want = sum.clone();
  matrix.add_input_gradient(sum, dy);
  CHECK_SAME(sum, want.addmm_(dy, dense));
}

TEST_CASE("base_precision auto leaves a matrix as it is", "[tensor]") {
  const auto w = normal({4, 6}, 1, torch::kBFloat16);
  CHECK(quantise(w, BasePrecision::kAuto).dense().is_alias_of(w));
  CHECK(matrix_bytes(4, 6, 2, BasePrecision::kAuto, true) == 48);
}

TEST_CASE("for several products a matrix in NF4 is made dense once, others stay", "[tensor]") {
  const auto w = normal({6, 64}, 1);
  CHECK(FrozenMatrix(w).for_products(torch::kFloat32).dense().is_same(w));
  const auto dtype = GENERATE(torch::kFloat32, torch::kBFloat16);
  const auto nf4 = quantise(w, BasePrecision::kNf4);
  CHECK_SAME(nf4.for_products(dtype).dense(), nf4.dequantised(dtype));
  CHECK(quantise(w, BasePrecision::kFp8).for_products(dtype).is_fp8());
}

TEST_CASE("a matrix in FP8 multiplies as its dequantised values do where nothing is faster",
          "[tensor]") {
  const auto dtype = GENERATE(torch::kFloat32, torch::kBFloat16, torch::kFloat64);
  const bool gradients = GENERATE(false, true);
  const auto w = normal({32, 48}, 1);
  const auto matrix = quantise(w, BasePrecision::kFp8, gradients);
  CHECK(matrix.defined());
  CHECK(matrix.is_fp8());
  CHECK_FALSE(matrix.is_dense());
  CHECK_THROWS_AS(matrix.dense(), c10::Error);
  CHECK(matrix.out_features() == 32);
  CHECK(matrix.in_features() == 48);
  CHECK(matrix.bytes() == matrix_bytes(32, 48, 2, BasePrecision::kFp8, gradients));
  const auto dense = matrix.dequantised(dtype);
  CHECK(relative_error(dense, w) < 0.03);
  const auto x = normal({2, 3, 48}, 2, dtype), dy = normal({5, 32}, 3, dtype);
  CHECK_SAME(matrix.product(x), at::linear(x, dense));
  CHECK_SAME(matrix.input_gradient(dy), torch::mm(dy, dense));
  auto sum = normal({5, 48}, 4, dtype), want = sum.clone();
  matrix.add_input_gradient(sum, dy);
  CHECK_SAME(sum, want.addmm_(dy, dense));
}

TEST_CASE("products of one input with several matrices are those of each", "[tensor]") {
  const auto w = normal({32, 48}, 1), x = normal({2, 3, 48}, 2);
  const std::vector<FrozenMatrix> matrices = {w, quantise(w, BasePrecision::kNf4),
                                              quantise(w, BasePrecision::kFp8)};
  const auto ys = products(matrices, x);
  REQUIRE(ys.size() == 3);
  for (size_t i = 0; i < ys.size(); ++i) CHECK_SAME(ys[i], matrices[i].product(x));
}
