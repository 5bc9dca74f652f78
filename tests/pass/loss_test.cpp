#include "pass/loss.h"

#include <cmath>
#include <vector>

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t kX = 11, kE = 6, kV = 9;

struct Case {
  explicit Case(torch::ScalarType dtype)
      : hidden_XE(normal({kX, kE}, 1, dtype)), head_VE(normal({kV, kE}, 2, dtype)) {
    hidden_XE.requires_grad_(true);
    head_VE.requires_grad_(true);
  }
  torch::Tensor hidden_XE, head_VE;
  torch::Tensor targets_X = torch::tensor(
      std::vector<int64_t>{0, 8, kIgnoreTarget, 3, 3, 5, kIgnoreTarget, 1, 0, 7, kIgnoreTarget});
};

}  // namespace

TEST_CASE("chunked cross-entropy is the cross-entropy of all logits, in value and both gradients",
          "[pass]") {
  const auto dtype = GENERATE(torch::kFloat32, torch::kFloat64);
  const int64_t chunk = GENERATE(1, 4, 11, 100);
  const Case x(dtype);
  // The loss is scaled before the backward pass, as a mean over targets would.
  auto gradients = [&](const torch::Tensor& loss) {
    return torch::autograd::grad({loss * 0.25}, {x.hidden_XE, x.head_VE});
  };
  const auto fast = chunked_cross_entropy(x.hidden_XE, x.head_VE, x.targets_X, chunk);
  const auto slow = cross_entropy_reference(x.hidden_XE, x.head_VE, x.targets_X);
  CHECK(fast.dim() == 0);
  CHECK_CLOSE(fast, slow);
  const auto got = gradients(fast), want = gradients(slow);
  CHECK_CLOSE(got[0], want[0]);
  CHECK_CLOSE(got[1], want[1]);
  CHECK(got[0][2].abs().max().item<double>() == 0.0);  // an ignored target's row
}

TEST_CASE("the gradients of chunked cross-entropy agree with differences", "[pass]") {
  const Case x(torch::kFloat64);
  CHECK(
      gradient_error([&] { return chunked_cross_entropy(x.hidden_XE, x.head_VE, x.targets_X, 4); },
                     {x.hidden_XE, x.head_VE}) == "");
}

TEST_CASE("each side gets a gradient only where it asks for one", "[pass]") {
  Case x(torch::kFloat32);
  const auto hidden = x.hidden_XE.detach(), head = x.head_VE.detach();
  CHECK_FALSE(chunked_cross_entropy(hidden, head, x.targets_X, 4).requires_grad());
  chunked_cross_entropy(x.hidden_XE, head, x.targets_X, 4).backward();
  CHECK(x.hidden_XE.grad().defined());
  CHECK_FALSE(x.head_VE.grad().defined());
  chunked_cross_entropy(hidden, x.head_VE, x.targets_X, 4).backward();
  CHECK(x.head_VE.grad().defined());
}

TEST_CASE("half precision logits are summed in float32", "[pass]") {
  const Case x(torch::kBFloat16);
  const auto loss = chunked_cross_entropy(x.hidden_XE, x.head_VE, x.targets_X, 4);
  CHECK(loss.scalar_type() == torch::kFloat32);
  auto wide = [](const torch::Tensor& t) {
    return t.detach().to(torch::kFloat32).requires_grad_(true);
  };
  const auto hidden = wide(x.hidden_XE), head = wide(x.head_VE);
  const auto want = cross_entropy_reference(hidden, head, x.targets_X);
  CHECK_CLOSE(loss, want);
  loss.backward();
  want.backward();
  CHECK_CLOSE(x.hidden_XE.grad(), hidden.grad());
  CHECK_CLOSE(x.head_VE.grad(), head.grad());
}

TEST_CASE("a float32 master head under half precision activations keeps a float32 gradient",
          "[pass]") {
  const Case x(torch::kBFloat16);
  const auto head = normal({kV, kE}, 2).requires_grad_(true);
  chunked_cross_entropy(x.hidden_XE, head, x.targets_X, 4).backward();
  CHECK(head.grad().scalar_type() == torch::kFloat32);
  CHECK(x.hidden_XE.grad().scalar_type() == torch::kBFloat16);
}

TEST_CASE("the NLL of each target adds up to the loss, and an ignored one counts nothing",
          "[pass]") {
  const Case x(torch::kFloat32);
  const auto nll_X = target_nll(x.hidden_XE, x.head_VE, x.targets_X, 4);
  CHECK_CLOSE(nll_X.sum(), cross_entropy_reference(x.hidden_XE, x.head_VE, x.targets_X));
  CHECK(nll_X[2].item<float>() == 0.0F);
  CHECK_FALSE(nll_X.requires_grad());
  // Equal logits: every target costs ln V.
  const auto even = target_nll(torch::zeros({kX, kE}), x.head_VE, x.targets_X, 4);
  CHECK(even[0].item<double>() == Approx(std::log(static_cast<double>(kV))));
}

TEST_CASE("huge logits give a finite loss", "[pass]") {
  const Case x(torch::kFloat32);
  const auto hidden = (x.hidden_XE.detach() * 1e4).requires_grad_(true);
  const auto loss = chunked_cross_entropy(hidden, x.head_VE, x.targets_X, 4);
  loss.backward();
  CHECK(std::isfinite(loss.item<double>()));
  CHECK(torch::isfinite(hidden.grad()).all().item<bool>());
}

TEST_CASE("a loss over nothing but ignored targets is zero and moves nothing", "[pass]") {
  const Case x(torch::kFloat32);
  const auto loss =
      chunked_cross_entropy(x.hidden_XE, x.head_VE, torch::full({kX}, kIgnoreTarget), 4);
  loss.backward();
  CHECK(loss.item<double>() == 0.0);
  CHECK(x.hidden_XE.grad().abs().max().item<double>() == 0.0);
  CHECK(x.head_VE.grad().abs().max().item<double>() == 0.0);
}
