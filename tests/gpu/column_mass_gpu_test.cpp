// The GPU's column mass against materialised probabilities.

#include "tensor/attention/attention.h"
#include "tensor/attention/column_mass.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/qkv_shape.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

struct MassCase {
  MassCase(const QkvShape& s, torch::ScalarType dtype)
      : q_BHLD(normal({s.B, s.H, s.L, s.D}, 1, dtype).to(torch::kCUDA)),
        k_BGSD(normal({s.B, s.G, s.S, s.D}, 2, dtype).to(torch::kCUDA)),
        lse_BHL(causal_attention(q_BHLD, k_BGSD, k_BGSD, AttentionBackend::kReference).lse_BHL) {}
  torch::Tensor q_BHLD, k_BGSD, lse_BHL;
};

void compare_mass(const QkvShape& s, torch::ScalarType dtype) {
  INFO(dtype << " " << text(s));
  const MassCase x(s, dtype);
  const auto mass_BGS = column_mass(x.q_BHLD, x.k_BGSD, x.lse_BHL);
  CHECK(mass_BGS.scalar_type() == torch::kFloat32);
  // Up to thousands of float32 terms in another order.
  CHECK_CLOSE(mass_BGS, column_mass_reference(x.q_BHLD, x.k_BGSD), /*factor=*/10.0);
  const auto total_BG = torch::full({s.B, s.G}, static_cast<double>(s.L * s.H / s.G));
  CHECK_CLOSE(mass_BGS.sum(-1), total_BG, /*factor=*/10.0);
  for (const int64_t distance : {int64_t{1}, int64_t{16}, s.L, s.S - 1}) {
    INFO("distance=" << distance);
    CHECK_CLOSE(column_mass(x.q_BHLD, x.k_BGSD, x.lse_BHL, {}, distance),
                column_mass_reference(x.q_BHLD, x.k_BGSD, distance), /*factor=*/10.0);
  }
}

/// As the projections deliver them: [B, L, H, D] seen as [B, H, L, D].
torch::Tensor transposed_in_memory(const torch::Tensor& x) {
  return x.transpose(1, 2).contiguous().transpose(1, 2);
}

}  // namespace

TEST_CASE("column mass on a GPU agrees with materialised probabilities", "[gpu]") {
  require_cuda();
  const std::vector<QkvShape> shapes = {
      {2, 4, 4, 64, 64, 64},     {1, 8, 2, 128, 256, 64},  {3, 4, 2, 37, 101, 64},
      {1, 4, 1, 1, 77, 128},     {2, 6, 2, 63, 63, 32},    {1, 32, 8, 512, 1024, 128},
      {2, 2, 2, 129, 130, 128},  {1, 2, 1, 1, 1, 64},      {1, 32, 32, 512, 1024, 128},
      {16, 6, 6, 512, 1024, 64}, {1, 8, 1, 65, 4097, 128}, {70, 4, 2, 33, 200, 96}};
  for (const auto& s : shapes) {
    compare_mass(s, torch::kBFloat16);
    compare_mass(s, torch::kFloat32);
  }
}

TEST_CASE("column mass on a GPU takes every head dimension", "[gpu]") {
  require_cuda();
  // The last three go the slow way.
  for (const int64_t D : {16, 32, 48, 64, 80, 96, 112, 128, 8, 20, 256}) {
    compare_mass({2, 4, 2, 70, 150, D}, torch::kBFloat16);
    compare_mass({80, 2, 2, 70, 150, D}, torch::kBFloat16);  // enough for wide tiles
  }
}

TEST_CASE("column mass on a GPU takes strided and unaligned inputs", "[gpu]") {
  require_cuda();
  const MassCase x({2, 4, 2, 33, 65, 64}, torch::kBFloat16);
  const auto want = column_mass(x.q_BHLD, x.k_BGSD, x.lse_BHL);
  CHECK_SAME(column_mass(transposed_in_memory(x.q_BHLD), transposed_in_memory(x.k_BGSD), x.lse_BHL),
             want);
  // Rows of 64 within rows of 65, which start at odd addresses.
  auto odd = [](const torch::Tensor& t) {
    const auto wide = torch::cat({t.narrow(/*dim=*/3, 0, 1), t}, /*dim=*/3);
    return wide.narrow(/*dim=*/3, 1, t.size(3));
  };
  CHECK_SAME(column_mass(odd(x.q_BHLD), odd(x.k_BGSD), x.lse_BHL), want);
  CHECK_SAME(
      column_mass(x.q_BHLD, x.k_BGSD, transposed_in_memory(x.lse_BHL.unsqueeze(-1)).select(-1, 0)),
      want);
}

TEST_CASE("column mass on a GPU adds what the first keys received before", "[gpu]") {
  require_cuda();
  for (const auto dtype : {torch::kBFloat16, torch::kFloat32}) {
    const MassCase x({2, 4, 2, 33, 165, 64}, dtype);
    const auto fresh = column_mass(x.q_BHLD, x.k_BGSD, x.lse_BHL);
    for (const int64_t M : {1, 64, 132, 165}) {
      INFO(dtype << " M=" << M);
      const auto prior = normal({2, 2, M}, 3).abs().to(torch::kCUDA);
      auto want = fresh.clone();
      want.narrow(/*dim=*/2, 0, M) += prior;
      CHECK_CLOSE(column_mass(x.q_BHLD, x.k_BGSD, x.lse_BHL, prior), want);
      const auto strided = transposed_in_memory(prior.unsqueeze(-1)).select(-1, 0);
      CHECK_CLOSE(column_mass(x.q_BHLD, x.k_BGSD, x.lse_BHL, strided), want);
    }
  }
}

TEST_CASE("column mass on a GPU carries no gradient and gives the same bits every time", "[gpu]") {
  require_cuda();
  const MassCase x({2, 8, 2, 128, 300, 64}, torch::kBFloat16);
  const auto q = x.q_BHLD.clone().requires_grad_(true);
  const auto first = column_mass(q, x.k_BGSD, x.lse_BHL);
  CHECK_FALSE(first.requires_grad());
  for (int i = 0; i < 5; ++i) CHECK_SAME(column_mass(q, x.k_BGSD, x.lse_BHL), first);
}
