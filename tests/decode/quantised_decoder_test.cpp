// Decoding on a quantised base, with LoRA beside its matrices instead of in them.
#include "decode/decoder.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/decoding.h"
#include "tests/support/policies.h"
#include "tests/support/quantised_llama.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("decoding on a quantised base computes what the dequantised values do", "[decode]") {
  const auto targets = GENERATE(std::vector<std::string>{},
                                std::vector<std::string>{"q_proj", "k_proj", "o_proj", "up_proj"});
  const auto precision = GENERATE(BasePrecision::kNf4, BasePrecision::kFp8);
  const auto tokens = random_tokens(2, 30, 1);
  for (const auto& policy_case : all_policies()) {
    INFO(policy_case.name);
    QuantisedPair pair(targets, torch::kFloat32, policy_case.cache, tiny_shape(), torch::kCPU,
                       precision);
    DecoderOptions options;
    options.batch = 2;
    options.decode_buffer = 5;
    Decoder quantised(pair.quantised.model, options), dense(pair.dense.model, options);
    CHECK_CLOSE(decode(quantised, tokens, 9), decode(dense, tokens, 9), kThroughModel);
    for (const auto& [name, layer] : pair.quantised.model->linear_layers())
      CHECK(layer->is_quantised() == (name != "lm_head.weight"));
  }
}

TEST_CASE("one weight of decoding holds quantised and dense parts side by side", "[decode]") {
  const torch::NoGradGuard no_grad;
  const auto precision = GENERATE(BasePrecision::kNf4, BasePrecision::kFp8);
  Linear first(6, 4), second(6, 3);
  first->keep_quantised(precision, torch::kCPU);
  first->fill(normal({4, 6}, 1));
  first->add_lora(2, 4.0, 2);
  first->lora_B->weight.copy_(normal({4, 2}, 3));
  second->fill(normal({3, 6}, 4));
  const auto below = normal({2, 6}, 5), x = normal({5, 6}, 6);
  const DecodeWeight weight({first, second}, torch::kFloat32, below);
  CHECK_FALSE(weight.is_dense());
  CHECK_THROWS_AS(weight.dense(), c10::Error);
  const auto want =
      torch::cat({first->forward(x), at::linear(x, second->weight), at::linear(x, below)}, 1);
  CHECK_CLOSE(weight.product(x), want, /*factor=*/3.0);  // sums in another order
}
