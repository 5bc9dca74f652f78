#include "decode/decode_gate.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t kWidth = 24;  // E

/// With biases that are not all alike.
RetentionGate random_gate(int64_t units, int64_t kv_heads) {
  RetentionGate gate(kWidth, units, kv_heads, /*init_seed=*/1);
  const torch::NoGradGuard no_grad;
  gate->out_bias.copy_(normal({kv_heads}, 2));
  return gate;
}

}  // namespace

TEST_CASE("a gate behind one product gives the score of the gate", "[decode]") {
  const int64_t units = GENERATE(1, 5, 13, 40), heads = GENERATE(1, 3, 8);
  INFO("U=" << units << " G=" << heads);
  const torch::NoGradGuard no_grad;
  auto gate = random_gate(units, heads);
  const auto x_BE = normal({4, kWidth}, 3);
  const auto want_BG = gate->forward(x_BE.unsqueeze(1)).squeeze(-1);

  const auto rows_PE = gate_rows(*gate, torch::kFloat32);
  REQUIRE(rows_PE.size(0) % 8 == 0);
  REQUIRE(rows_PE.size(0) - units - heads < 8);
  const auto product_BP = torch::linear(x_BE, rows_PE);
  CHECK_CLOSE(gate_scores_reference(product_BP, gate_tail(*gate)), want_BG);

  // Weights, input and product rounded to bfloat16, three roundings of at most 0.4 % each.
  const auto rounded_BP =
      torch::linear(x_BE.to(torch::kBFloat16), gate_rows(*gate, torch::kBFloat16));
  const auto rounded_BG = gate_scores_reference(rounded_BP, gate_tail(*gate));
  CHECK(rounded_BG.scalar_type() == torch::kFloat32);
  CHECK(relative_error(rounded_BG, want_BG) < 0.01);
}

TEST_CASE("a new token's scores go to its slot, and to no other", "[decode]") {
  const torch::NoGradGuard no_grad;
  const auto gate = random_gate(/*units=*/5, /*kv_heads=*/3);
  const auto tail = gate_tail(*gate);
  const auto product_BP = normal({2, 8}, 4);
  const auto cursor_B2 = torch::tensor({{6, 90}, {0, 7}}, torch::kInt32);
  // The first slots of longer memory.
  const auto home = torch::full({2, 3, 11}, 9.0F);
  note_gate_scores(product_BP, tail, cursor_B2, home.narrow(2, 0, 7));
  auto want = torch::full({2, 3, 11}, 9.0F);
  const auto score_BG = gate_scores_reference(product_BP, tail);
  want[0].select(1, 6).copy_(score_BG[0]);
  want[1].select(1, 0).copy_(score_BG[1]);
  CHECK_SAME(home, want);
  CHECK_THROWS_AS(note_gate_scores(product_BP.narrow(1, 0, 7), tail, cursor_B2, home), c10::Error);
}
