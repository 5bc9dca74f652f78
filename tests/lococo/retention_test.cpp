#include "lococo/retention.h"

#include <map>
#include <string>

#include "lococo/selection.h"
#include "soft/mass_score.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t kE = 10, kU = 6, kG = 3;

RetentionGate gate_in_double() {
  RetentionGate gate(kE, kU, kG, /*init_seed=*/1);
  gate->to(torch::kFloat64);
  return gate;
}

}  // namespace

TEST_CASE("a gate's score is the formula, one number a token and head", "[lococo]") {
  auto gate = gate_in_double();
  const auto h = normal({2, 4, kE}, 2, torch::kFloat64);
  const auto score = gate->forward(h);
  REQUIRE(score.sizes() == at::IntArrayRef({2, kG, 4}));
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t l = 0; l < 4; ++l) {
      const auto x = h[b][l] / 4;
      const auto a = torch::mv(gate->hidden_weight, x) + gate->hidden_bias;
      const auto gelu = 0.5 * a * (1 + torch::erf(a / std::sqrt(2.0)));
      const auto want =
          torch::mv(gate->out_weight, gelu) + torch::mv(gate->skip_weight, x) + gate->out_bias;
      CHECK_CLOSE(score[b].select(1, l), want);
    }
  }
}

TEST_CASE("a gate reads half precision and gives float32", "[lococo]") {
  RetentionGate gate(kE, kU, kG, 1);
  const auto h = normal({1, 5, kE}, 3).to(torch::kBFloat16);
  const auto score = gate->forward(h);
  CHECK(score.scalar_type() == torch::kFloat32);
  CHECK_CLOSE(score, gate->forward(h.to(torch::kFloat32)));
}

TEST_CASE("a gate in two products of bfloat16 is the gate", "[lococo]") {
  RetentionGate gate(64, 16, kG, 1);
  // What a step would give back to them, by either way of computing.
  const auto step_by = [&](bool split) {
    gate->zero_grad();
    auto h = normal({2, 37, 64}, 3).to(torch::kBFloat16).requires_grad_();
    const auto score = split ? gate->forward_split(h) : gate->forward_wide(h);
    (score * normal(score.sizes(), 4)).sum().backward();
    std::map<std::string, torch::Tensor> found = {{"score", score.detach()}, {"h", h.grad()}};
    for (const auto& item : gate->named_parameters())
      if (item.value().grad().defined()) found[item.key()] = item.value().grad().clone();
    return found;
  };
  const auto split = step_by(true), wide = step_by(false);
  REQUIRE(split.size() == wide.size());
  CHECK_CLOSE(split.at("score"), wide.at("score"), /*factor=*/10.0);
  for (const auto& [name, gradient] : wide) {
    INFO(name);
    const auto error = (split.at(name) - gradient).to(torch::kFloat32).abs().max();
    const auto size = gradient.to(torch::kFloat32).abs().max();
    CHECK(error.item<double>() < 0.01 * size.item<double>());  // 2^-8 of bfloat16, rounded twice
  }
}

TEST_CASE("the mass joins the score by its logarithm and gets no gradient", "[lococo]") {
  auto gate = gate_in_double();
  const auto score = normal({1, kG, 4}, 4, torch::kFloat64);
  auto mass = normal({1, kG, 4}, 5, torch::kFloat64).abs().requires_grad_();
  const auto massed = score_with_mass(score, mass, gate->mass_weight);
  CHECK_CLOSE(massed,
              score + gate->mass_weight.detach().unsqueeze(1) * torch::log(mass.detach() + 0.001));
  massed.sum().backward();
  CHECK_FALSE(mass.grad().defined());
  CHECK_CLOSE(gate->mass_weight.grad(),
              torch::log(mass.detach() + 0.001).sum(at::IntArrayRef({0, 2})));
}

TEST_CASE("two shares: the best scores, then the best of the rest by the other ranking",
          "[lococo]") {
  const auto score = torch::tensor({{{0.0F, 9.0F, 1.0F, 8.0F, 2.0F, 3.0F, 0.0F, 0.0F}}});
  const auto massed = torch::tensor({{{0.0F, 9.0F, 7.0F, 9.0F, 1.0F, 2.0F, 6.0F, 0.0F}}});
  const auto kept = select_two_shares(score, massed, {1, 1, 2, 2});
  CHECK_SAME(kept.flatten(), torch::tensor({0, 1, 2, 3, 6, 7}));
  const auto alone = select_two_shares(score, {}, {1, 1, 3, 0});
  CHECK_SAME(alone.flatten(), torch::tensor({0, 1, 3, 5, 7}));
  const auto by_mass = select_two_shares(score, massed, {0, 0, 0, 3});
  CHECK_SAME(by_mass.flatten(), torch::tensor({1, 2, 3}));
  CHECK_THROWS_AS(select_two_shares(score, massed, {3, 3, 2, 1}), c10::Error);
}

TEST_CASE("the same seed gives the same gate, another layer another one", "[lococo]") {
  const RetentionGate a(kE, kU, kG, 1), b(kE, kU, kG, 1), c(kE, kU, kG, 2);
  CHECK_SAME(a->hidden_weight, b->hidden_weight);
  CHECK_FALSE(torch::equal(a->hidden_weight, c->hidden_weight));
}
