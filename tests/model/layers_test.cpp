#include "model/layers.h"

#include <utility>

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("RMSNorm divides by the root of the mean square", "[model]") {
  RmsNorm norm(4, /*epsilon=*/0.5);
  const torch::NoGradGuard no_grad;
  norm->weight.copy_(torch::tensor({1.0F, 2.0F, 3.0F, 4.0F}));
  const auto x = torch::tensor({{{1.0F, -1.0F, 1.0F, -1.0F}, {3.0F, 3.0F, 0.0F, 0.0F}}});
  // mean squares 1 and 4.5, plus 0.5
  const auto want = torch::tensor({{{1.0F, -2.0F, 3.0F, -4.0F}, {3.0F, 6.0F, 0.0F, 0.0F}}}) /
                    torch::tensor({1.5F, 5.0F}).sqrt().view({1, 2, 1});
  CHECK_CLOSE(norm->forward(x), want);
}

TEST_CASE("RMSNorm of half precision is computed in float32", "[model]") {
  RmsNorm norm(64, 1e-5);
  const torch::NoGradGuard no_grad;
  const auto x =
      normal({2, 3, 64}, 1, torch::kBFloat16) * 300;  // squares leave half precision's digits
  const auto got = norm->forward(x);
  CHECK(got.scalar_type() == torch::kBFloat16);
  CHECK_SAME(got, norm->forward(x.to(torch::kFloat32)).to(torch::kBFloat16));
}

TEST_CASE("an embedding looks rows up and its gradient adds up over repeats", "[model]") {
  Embedding embedding(5, 3);
  {
    const torch::NoGradGuard no_grad;
    embedding->weight.copy_(normal({5, 3}, 1));
  }
  const auto tokens = torch::tensor({{1, 4, 1}});
  const auto out = embedding->forward(tokens, torch::kFloat32);
  CHECK_SAME(out[0][1], embedding->weight[4]);
  out.sum().backward();
  const auto count = torch::tensor({0.0F, 2.0F, 0.0F, 0.0F, 1.0F}).view({5, 1}).expand({5, 3});
  CHECK_SAME(embedding->weight.grad(), count);
}

TEST_CASE("the gradients of RMSNorm and the feed-forward agree with differences", "[model]") {
  RmsNorm norm(4, 1e-5);
  Mlp mlp(4, 6);
  {
    const torch::NoGradGuard no_grad;
    uint64_t seed = 1;
    for (auto& weight : norm->parameters()) weight.copy_(normal(weight.sizes(), seed++));
    for (auto& weight : mlp->parameters()) weight.copy_(normal(weight.sizes(), seed++));
  }
  norm->to(torch::kFloat64);
  mlp->to(torch::kFloat64);
  const auto x = normal({2, 3, 4}, 9, torch::kFloat64).requires_grad_(true);
  auto inputs = mlp->parameters();
  inputs.push_back(norm->weight);
  inputs.push_back(x);
  CHECK(gradient_error([&] { return weighted_sum(mlp->forward(norm->forward(x))); }, inputs) == "");
}

TEST_CASE("the feed-forward is down(silu(gate x) * up x)", "[model]") {
  Mlp mlp(2, 2);
  const torch::NoGradGuard no_grad;
  mlp->gate_proj->weight.copy_(torch::eye(2));
  mlp->up_proj->weight.copy_(2 * torch::eye(2));
  mlp->down_proj->weight.copy_(3 * torch::eye(2));
  const auto x = torch::tensor({{1.0F, -2.0F}});
  CHECK_CLOSE(mlp->forward(x), 6 * x.square() * torch::sigmoid(x));
}

TEST_CASE(
    "a frozen feed-forward gives what a trained one gives, and the same gradient to its input",
    "[model]") {
  Mlp mlp(6, 10);
  {
    const torch::NoGradGuard no_grad;
    uint64_t seed = 1;
    for (auto& weight : mlp->parameters()) weight.copy_(normal(weight.sizes(), seed++));
  }
  const auto x = normal({2, 3, 6}, 9).requires_grad_(true);
  auto run = [&] {
    const auto out = mlp->forward(x);
    return std::pair{out, torch::autograd::grad({weighted_sum(out)}, {x})[0]};
  };
  const auto [trained, trained_gradient] = run();
  for (auto& weight : mlp->parameters()) weight.requires_grad_(false);
  const auto [frozen, frozen_gradient] = run();
  CHECK_CLOSE(frozen, trained);
  CHECK_CLOSE(frozen_gradient, trained_gradient, /*factor=*/10.0);
  CHECK(mlp->is_frozen(torch::kFloat32));
  CHECK_FALSE(mlp->is_frozen(torch::kBFloat16));
  const auto d_out = normal({2, 3, 6}, /*seed=*/1);  // what weighted_sum gives
  const auto weights = mlp->frozen(torch::kFloat32);
  CHECK_CLOSE(frozen_mlp_gradient(d_out, x, weights.gate_FE, weights.up_FE, weights.down_EF),
              frozen_gradient);
}

TEST_CASE("LoRA beside a frozen feed-forward is trained", "[model]") {
  Mlp mlp(6, 10);
  {
    const torch::NoGradGuard no_grad;
    uint64_t seed = 1;
    for (auto& weight : mlp->parameters()) weight.copy_(normal(weight.sizes(), seed++));
  }
  for (auto& weight : mlp->parameters()) weight.requires_grad_(false);
  mlp->down_proj->add_lora(2, 4.0, /*seed=*/5);
  CHECK_FALSE(mlp->is_frozen(torch::kFloat32));
  mlp->forward(normal({2, 3, 6}, 9)).sum().backward();
  CHECK(mlp->down_proj->lora_B->weight.grad().abs().max().item<double>() > 0.0);
}

TEST_CASE("a norm adds what waits and hands the sum on", "[model]") {
  RmsNorm norm(8, 1e-5);
  const auto residual = normal({2, 3, 8}, 1), delta = normal({2, 3, 8}, 2);
  const auto plain = norm->add_norm({residual});
  CHECK_SAME(plain.sum, residual);
  CHECK_SAME(plain.normed, norm->forward(residual));
  const auto added = norm->add_norm({residual, delta});
  CHECK_SAME(added.sum, residual + delta);
  CHECK_SAME(added.normed, norm->forward(residual + delta));
  CHECK_SAME(added.sum, (DeferredSum{residual, delta}.sum()));
}
