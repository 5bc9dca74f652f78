#include "tensor/layers/swiglu.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("SwiGLU is gate times its sigmoid times up, also of halves of one product", "[tensor]") {
  const auto fused = normal({3, 10}, 1);
  const auto gate = fused.narrow(1, 0, 5), up = fused.narrow(1, 5, 5);
  CHECK_CLOSE(swiglu(gate, up), gate * torch::sigmoid(gate) * up);
}

TEST_CASE("the gradients of SwiGLU agree with differences", "[tensor]") {
  const auto gate = normal({3, 5}, 1, torch::kFloat64).requires_grad_(true);
  const auto up = normal({3, 5}, 2, torch::kFloat64).requires_grad_(true);
  CHECK(gradient_error([&] { return weighted_sum(swiglu(gate, up)); }, {gate, up}) == "");
}

TEST_CASE("the gradients that Functions take are autograd's", "[tensor]") {
  const auto gate = normal({2, 3, 5}, 1, torch::kFloat64).requires_grad_(true);
  const auto up = normal({2, 3, 5}, 2, torch::kFloat64).requires_grad_(true);
  const auto d_out = normal({2, 3, 5}, 3, torch::kFloat64);
  const auto want = torch::autograd::grad({swiglu_reference(gate, up)}, {gate, up}, {d_out});
  const auto got = swiglu_gradients(d_out, gate, up);
  CHECK_CLOSE(got.d_gate_XF, want[0]);
  CHECK_CLOSE(got.d_up_XF, want[1]);
}

TEST_CASE("gate and up of different shapes or dtypes are refused", "[tensor]") {
  const auto gate = torch::zeros({2, 8});
  CHECK_THROWS_AS(swiglu(gate, torch::zeros({1, 8})), c10::Error);
  CHECK_THROWS_AS(swiglu(gate, gate.to(torch::kFloat64)), c10::Error);
}
