#include "tensor/layers/frozen_mlp.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

struct Weights {
  torch::Tensor gate_FE = normal({7, 5}, 1, torch::kFloat64);
  torch::Tensor up_FE = normal({7, 5}, 2, torch::kFloat64);
  torch::Tensor down_EF = normal({5, 7}, 3, torch::kFloat64);
};

}  // namespace

TEST_CASE("a frozen feed-forward and its gradient are those of its parts", "[tensor]") {
  const bool recompute = GENERATE(false, true);
  const Weights w;
  const auto x = normal({2, 3, 5}, 4, torch::kFloat64).requires_grad_(true);
  const auto out = frozen_mlp(x, w.gate_FE, w.up_FE, w.down_EF, recompute);
  const auto want = torch::matmul(
      torch::silu(torch::matmul(x, w.gate_FE.t())) * torch::matmul(x, w.up_FE.t()), w.down_EF.t());
  CHECK_CLOSE(out, want);
  // A gradient that is no contiguous memory, as a sum's is.
  CHECK_CLOSE(torch::autograd::grad({out.sum()}, {x})[0],
              torch::autograd::grad({want.sum()}, {x})[0]);
}

TEST_CASE("the gradient of a frozen feed-forward agrees with differences", "[tensor]") {
  const bool recompute = GENERATE(false, true);
  const Weights w;
  const auto x = normal({2, 3, 5}, 4, torch::kFloat64).requires_grad_(true);
  auto loss = [&] { return weighted_sum(frozen_mlp(x, w.gate_FE, w.up_FE, w.down_EF, recompute)); };
  CHECK(gradient_error(loss, {x}) == "");
}

TEST_CASE("a frozen feed-forward refuses weights that are trained", "[tensor]") {
  const Weights w;
  const auto x = normal({3, 5}, 4, torch::kFloat64);
  for (const auto& trained : {w.gate_FE, w.up_FE, w.down_EF}) {
    trained.requires_grad_(true);
    CHECK_THROWS_AS(frozen_mlp(x, w.gate_FE, w.up_FE, w.down_EF), c10::Error);
    trained.requires_grad_(false);
  }
  CHECK_NOTHROW(frozen_mlp(x, w.gate_FE, w.up_FE, w.down_EF));
}
