// Few rows of quantised matrices: the kernels against products of the dequantised values.
#include <torch/cuda.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "tensor/kit/torch.h"
#include "tensor/layers/skinny_frozen.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

struct SkinnyShape {
  int64_t X, K;
  std::vector<int64_t> N;
};

std::string text(const SkinnyShape& s) {
  std::ostringstream out;
  out << "X=" << s.X << " K=" << s.K << " N=" << s.N[0];
  return out.str();
}

const std::vector<SkinnyShape>& skinny_shapes() {
  static const std::vector<SkinnyShape> list = {{1, 4096, {4096, 4096, 4096}},
                                                {1, 64, {1}},
                                                {2, 192, {7, 3, 130}},
                                                {3, 1024, {16, 33}},
                                                {4, 4096, {512, 128}},
                                                {5, 320, {40, 17, 16}},
                                                {6, 2112, {96}},
                                                {7, 4096, {4096, 31}},
                                                {8, 4096, {1024, 256, 256}},
                                                {8, 11008, {260}},
                                                {1, 11008, {4096}},
                                                {2, 11008, {64}},
                                                {1, 4096, {11008}},
                                                {8, 576, {1536, 1536}},
                                                {1, 576, {11, 40}},
                                                {1, 8192, {100, 28}},
                                                {1, 9216, {40}},
                                                {3, 8192, {24}},
                                                {1, 13312, {24}},
                                                {1, 64, {40000}},
                                                {2, 128, {30000, 9000}},
                                                {4, 64, {40000}}};
  return list;
}

/// Standard normal values from `seed`, drawn on the GPU: the CPU would draw those of the matrices
/// below, half a billion, for most of a minute.
torch::Tensor drawn(at::IntArrayRef sizes, uint64_t seed) {
  torch::cuda::manual_seed(seed);
  return torch::randn(sizes, torch::kCUDA);
}

FrozenMatrix matrix_of(const SkinnyShape& s, size_t i, BasePrecision precision) {
  // Rows of unlike size, sums about as large as x.
  auto values = drawn({s.N.at(i), s.K}, 2 + i) / std::sqrt(static_cast<double>(s.K));
  values = values * (0.5 + drawn({s.N.at(i), 1}, 20 + i).abs());
  return quantise(values.to(torch::kBFloat16), precision);
}

torch::Tensor as_float32(const torch::Tensor& x) { return x.to(torch::kFloat32); }

/// x in float32, normed as the kernels norm it: rounded to bfloat16.
torch::Tensor normed(const torch::Tensor& x, const SkinnyNorm& norm) {
  if (!norm.weight_K.defined()) return as_float32(x);
  const auto mean = as_float32(x).pow(2).mean(-1, /*keepdim=*/true);
  const auto result = as_float32(norm.weight_K) * (as_float32(x) * (mean + norm.eps).rsqrt());
  return as_float32(result.to(torch::kBFloat16));
}

torch::Tensor product_of(const torch::Tensor& x, const SkinnyNorm& norm,
                         const FrozenMatrix& matrix) {
  return torch::mm(normed(x, norm), matrix.dequantised(torch::kFloat32).t());
}

}  // namespace

TEST_CASE("skinny products of quantised matrices agree with their dequantised values", "[gpu]") {
  require_cuda();
  const auto precision = GENERATE(BasePrecision::kNf4, BasePrecision::kFp8);
  for (const auto& s : skinny_shapes()) {
    INFO(text(s) << (precision == BasePrecision::kNf4 ? " nf4" : " fp8"));
    const auto x = on_gpu({s.X, s.K}, 1);
    std::vector<FrozenMatrix> matrices;
    for (size_t i = 0; i < s.N.size(); ++i) matrices.push_back(matrix_of(s, i, precision));
    REQUIRE(has_skinny_frozen(x, matrices));
    const SkinnyNorm norm = {on_gpu({s.K}, 9), 1e-5};
    for (const auto& with : {SkinnyNorm(), norm}) {
      std::vector<torch::Tensor> want;
      for (const auto& matrix : matrices) want.push_back(product_of(x, with, matrix));
      const auto got = skinny_frozen(x, with, matrices);
      CHECK(got.scalar_type() == torch::kBFloat16);
      CHECK(relative_error(got, torch::cat(want, 1)) < 0.004);
      CHECK_CLOSE(got, torch::cat(want, 1), /*factor=*/2.0);
      CHECK_SAME(skinny_frozen(x, with, matrices), got);
    }
    const auto residual = on_gpu({s.X, s.N[0]}, 10);
    CHECK_CLOSE(skinny_frozen_add(x, matrices[0], residual),
                as_float32(residual) + product_of(x, SkinnyNorm(), matrices[0]), /*factor=*/2.0);
    const auto up = matrix_of(s, 0, precision), gate = matrices[0];
    const auto want = torch::silu(product_of(x, norm, gate)) * product_of(x, norm, up);
    CHECK_CLOSE(skinny_frozen_swiglu(x, norm, gate, up), want, /*factor=*/4.0);
  }
}

TEST_CASE("skinny products that start before the one before ends wait for it", "[gpu]") {
  require_cuda();
  const auto precision = GENERATE(BasePrecision::kNf4, BasePrecision::kFp8);
  const int64_t X = GENERATE(1, 4);
  const SkinnyShape square = {X, 4096, {4096}}, wide = {X, 4096, {11008, 11008}};
  const auto o = matrix_of(square, 0, precision);
  const auto gate = matrix_of(wide, 0, precision), up = matrix_of(wide, 1, precision);
  const auto down = matrix_of({X, 11008, {4096}}, 0, precision);
  const SkinnyNorm norm = {on_gpu({4096}, 9), 1e-5};
  const auto start = on_gpu({X, 4096}, 1);
  const auto chain = [&](bool pause) {
    auto x = start;
    const auto rest = [&] {
      if (pause) torch::cuda::synchronize();
    };
    for (int layer = 0; layer < 8; ++layer) {
      const auto entered = skinny_frozen(x, norm, {o});
      rest();
      const auto between = skinny_frozen_add(entered, o, x);
      rest();
      const auto gated = skinny_frozen_swiglu(between, norm, gate, up);
      rest();
      x = skinny_frozen_add(gated, down, between);
      rest();
    }
    return x;
  };
  const auto want = chain(/*pause=*/true);
  CHECK(want.isfinite().all().item<bool>());
  for (int i = 0; i < 20; ++i) CHECK_SAME(chain(/*pause=*/false), want);
}

TEST_CASE("gate and up of a skinny product are two matrices", "[gpu]") {
  require_cuda();
  const auto precision = GENERATE(BasePrecision::kNf4, BasePrecision::kFp8);
  for (const int64_t N : {8, 11, 100, 11008}) {
    const SkinnyShape s = {2, 256, {N, N}};
    const auto x = on_gpu({s.X, s.K}, 1);
    const auto gate = matrix_of(s, 0, precision), up = matrix_of(s, 1, precision);
    const auto want =
        torch::silu(product_of(x, SkinnyNorm(), gate)) * product_of(x, SkinnyNorm(), up);
    CHECK_CLOSE(skinny_frozen_swiglu(x, SkinnyNorm(), gate, up), want, /*factor=*/4.0);
  }
}

TEST_CASE("rows of any size survive float16 in a skinny product", "[gpu]") {
  require_cuda();
  const auto precision = GENERATE(BasePrecision::kNf4, BasePrecision::kFp8);
  const SkinnyShape s = {8, 512, {48}};
  const auto matrix = matrix_of(s, 0, precision);
  auto x = on_gpu({s.X, s.K}, 1);
  const std::vector<double> factors = {1e6, 1e-6, 0.0, 1.0, 1e30, 1e-30, 1.0, 1.0};
  for (size_t m = 0; m < factors.size(); ++m) x[static_cast<int64_t>(m)].mul_(factors[m]);
  x[3][5] = 3e4;  // beside values of 1
  x[6][1] = std::numeric_limits<float>::infinity();
  x[7][2] = std::numeric_limits<float>::quiet_NaN();
  const auto got = skinny_frozen(x, SkinnyNorm(), {matrix}).cpu();
  const auto want = product_of(x, SkinnyNorm(), matrix).cpu();
  for (int64_t m = 0; m < 6; ++m) {
    INFO("row " << m);
    if (m == 2) {
      CHECK(got[m].abs().max().item<float>() == 0.0F);
    } else {
      CHECK(relative_error(got[m], want[m]) < 0.005);
    }
  }
  CHECK_FALSE(got[6].isfinite().any().item<bool>());
  CHECK_FALSE(got[7].isfinite().any().item<bool>());
}

TEST_CASE("what the skinny kernels of quantised matrices do not take goes through products",
          "[gpu]") {
  require_cuda();
  const auto nf4 = quantise(on_gpu({32, 64}, 1), BasePrecision::kNf4);
  const auto fp8 = quantise(on_gpu({32, 64}, 2), BasePrecision::kFp8);
  const auto narrow = quantise(on_gpu({32, 48}, 3), BasePrecision::kNf4);
  const FrozenMatrix dense = on_gpu({32, 64}, 4);
  const auto x = on_gpu({2, 64}, 5);
  CHECK(has_skinny_frozen(x, {nf4}));
  CHECK_FALSE(has_skinny_frozen(x, {nf4, fp8}));
  CHECK_FALSE(has_skinny_frozen(x, {dense}));
  CHECK_FALSE(has_skinny_frozen(x, {nf4, nf4, nf4, nf4}));
  CHECK_FALSE(has_skinny_frozen(x.to(torch::kFloat32), {nf4}));
  CHECK_FALSE(has_skinny_frozen(on_gpu({9, 64}, 6), {nf4}));
  CHECK_FALSE(has_skinny_frozen(on_gpu({2, 48}, 6), {narrow}));
  CHECK_SAME(skinny_frozen(x, SkinnyNorm(), {nf4, dense}),
             torch::cat({nf4.product(x), dense.product(x)}, 1));
  CHECK_SAME(skinny_frozen(on_gpu({9, 64}, 6), SkinnyNorm(), {fp8}),
             fp8.product(on_gpu({9, 64}, 6)));
}
