#include "tensor/attention/column_mass.h"

#include "tensor/attention/attention.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/qkv_shape.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

struct MassCase {
  torch::Tensor q_BHLD, k_BGSD, lse_BHL;
};

MassCase random_case(const QkvShape& s, torch::ScalarType dtype) {
  MassCase x;
  x.q_BHLD = normal({s.B, s.H, s.L, s.D}, 1, dtype);
  x.k_BGSD = normal({s.B, s.G, s.S, s.D}, 2, dtype);
  x.lse_BHL = causal_attention(x.q_BHLD, x.k_BGSD, x.k_BGSD, AttentionBackend::kReference).lse_BHL;
  return x;
}

}  // namespace

TEST_CASE("column mass from the log-sum-exp is that of materialised probabilities", "[tensor]") {
  const auto dtype = GENERATE(torch::kFloat32, torch::kFloat64, torch::kBFloat16);
  const auto s = GENERATE(QkvShape{2, 4, 4, 8, 8, 16}, QkvShape{1, 4, 2, 7, 7, 8},
                          QkvShape{2, 6, 2, 5, 13, 8}, QkvShape{1, 2, 1, 1, 9, 4},
                          QkvShape{1, 2, 2, 1, 1, 4}, QkvShape{1, 4, 1, 67, 131, 20});
  INFO(dtype << " H=" << s.H << " G=" << s.G << " L=" << s.L << " S=" << s.S);
  const auto x = random_case(s, dtype);
  const auto mass_BGS = column_mass(x.q_BHLD, x.k_BGSD, x.lse_BHL);
  CHECK(mass_BGS.scalar_type() == torch::kFloat32);
  // Inputs are the same rounded values on both sides, so even bfloat16 agrees to float32.
  CHECK_CLOSE(mass_BGS, column_mass_reference(x.q_BHLD, x.k_BGSD), /*factor=*/2.0);
}

TEST_CASE("each query of each head gives away a mass of one", "[tensor]") {
  const QkvShape s = {2, 6, 2, 5, 13, 8};
  const auto x = random_case(s, torch::kFloat32);
  const auto total_BG = column_mass(x.q_BHLD, x.k_BGSD, x.lse_BHL).sum(/*dim=*/-1);
  CHECK_CLOSE(total_BG, torch::full({s.B, s.G}, static_cast<double>(s.L * s.H / s.G)));
}

TEST_CASE("with equal scores a key's mass is the sum of 1 / (visible keys)", "[tensor]") {
  const auto q = torch::zeros({1, 1, 2, 4}), k = torch::zeros({1, 1, 3, 4});
  const auto lse = torch::tensor({{{2.0F, 3.0F}}}).log();
  const auto mass = column_mass(q, k, lse).flatten();
  CHECK_CLOSE(mass, torch::tensor({1.0F / 2 + 1.0F / 3, 1.0F / 2 + 1.0F / 3, 1.0F / 3}));
}

TEST_CASE("column mass carries no gradient and takes strided inputs", "[tensor]") {
  const auto x = random_case({2, 4, 2, 5, 9, 8}, torch::kFloat32);
  const auto want = column_mass(x.q_BHLD, x.k_BGSD, x.lse_BHL);
  // As the projections deliver them: [B, L, H, D] seen as [B, H, L, D].
  auto strided = [](const torch::Tensor& t) {
    return t.transpose(1, 2).contiguous().transpose(1, 2);
  };
  const auto q = strided(x.q_BHLD).requires_grad_(true);
  const auto got = column_mass(q, strided(x.k_BGSD), x.lse_BHL);
  CHECK_CLOSE(got, want);
  CHECK_FALSE(got.requires_grad());
}

TEST_CASE("column mass adds what the first keys received before", "[tensor]") {
  const auto x = random_case({2, 4, 2, 5, 9, 8}, torch::kFloat32);
  const auto prior = normal({2, 2, 4}, 3);
  auto want = column_mass(x.q_BHLD, x.k_BGSD, x.lse_BHL);
  want.narrow(/*dim=*/2, 0, 4) += prior;
  CHECK_SAME(column_mass(x.q_BHLD, x.k_BGSD, x.lse_BHL, prior), want);
}

TEST_CASE("column mass counts only queries at a distance from the key", "[tensor]") {
  const auto dtype = GENERATE(torch::kFloat32, torch::kBFloat16);
  const auto s = GENERATE(QkvShape{2, 4, 2, 7, 7, 8}, QkvShape{1, 6, 2, 5, 13, 8});
  const auto x = random_case(s, dtype);
  for (const int64_t distance : {int64_t{0}, int64_t{1}, int64_t{3}, s.S - 1, s.S, s.S + 5}) {
    INFO(dtype << " L=" << s.L << " S=" << s.S << " distance=" << distance);
    const auto mass_BGS = column_mass(x.q_BHLD, x.k_BGSD, x.lse_BHL, {}, distance);
    CHECK_CLOSE(mass_BGS, column_mass_reference(x.q_BHLD, x.k_BGSD, distance), /*factor=*/2.0);
    if (distance >= s.S) CHECK_SAME(mass_BGS, torch::zeros_like(mass_BGS));
  }
  CHECK_THROWS(column_mass(x.q_BHLD, x.k_BGSD, x.lse_BHL, {}, -1));
}

TEST_CASE("with equal scores and distance 1 a key's own query gives it nothing", "[tensor]") {
  const auto q = torch::zeros({1, 1, 2, 4}), k = torch::zeros({1, 1, 3, 4});
  const auto lse = torch::tensor({{{2.0F, 3.0F}}}).log();
  const auto mass = column_mass(q, k, lse, /*prior_mass_BGM=*/{}, /*distance=*/1).flatten();
  CHECK_CLOSE(mass, torch::tensor({1.0F / 2 + 1.0F / 3, 1.0F / 3, 0.0F}));
}
