// A model on a quantised base against the same model with the dequantised values in dense matrices:
// every pass, every gradient, to the bit.
#include "tests/support/quantised_llama.h"

#include "lococo/step_plan.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

const std::vector<std::vector<std::string>> kTargets = {
    {}, {"q_proj", "o_proj"}, {"q_proj", "k_proj", "v_proj", "down_proj"}};

void check_same_gradients(const QuantisedPair& pair) {
  const auto got = pair.quantised.gradients(), want = pair.dense.gradients();
  CHECK(want.size() >= 4);
  REQUIRE(got.size() == want.size());
  for (const auto& [name, gradient] : want) {
    INFO(name);
    if (name.find("lora") != std::string::npos) CHECK(gradient.norm().item<double>() > 0);
    CHECK_SAME(got.at(name), gradient);
  }
}

}  // namespace

TEST_CASE("whole sequences on a quantised base compute what the dequantised values do", "[model]") {
  const auto targets = GENERATE(from_range(kTargets));
  const auto dtype = GENERATE(torch::kFloat32, torch::kBFloat16);
  const bool checkpoint_layers = GENERATE(false, true);
  const auto precision = GENERATE(BasePrecision::kNf4, BasePrecision::kFp8);
  QuantisedPair pair(targets, dtype, CacheConfig(), tiny_shape(), torch::kCPU, precision);
  const auto tokens = random_tokens(2, 20, 1);
  std::vector<torch::Tensor> hidden;
  for (auto* trained : {&pair.quantised, &pair.dense}) {
    hidden.push_back(trained->model->forward(tokens, {checkpoint_layers}));
    weighted_sum(hidden.back()).backward();
  }
  CHECK_SAME(hidden[0], hidden[1]);
  check_same_gradients(pair);
}

TEST_CASE("blocks on a quantised base compute what the dequantised values do", "[model]") {
  const auto targets = GENERATE(from_range(kTargets));
  const auto dtype = GENERATE(torch::kFloat32, torch::kBFloat16);
  const auto precision = GENERATE(BasePrecision::kNf4, BasePrecision::kFp8);
  QuantisedPair pair(targets, dtype, tiny_cache(), tiny_shape(), torch::kCPU, precision);
  const auto tokens = random_tokens(2, 36, 1);
  for (auto* trained : {&pair.quantised, &pair.dense}) {
    auto caches = trained->model->empty_caches();
    for (const auto& step : make_step_plan(tiny_cache(), tokens.size(1))) {
      const auto block = tokens.slice(1, step.begin, step.end);
      weighted_sum(trained->model->forward_block(block, step, caches)).backward();
    }
  }
  check_same_gradients(pair);
  CHECK_SAME(blockwise_hidden(pair.quantised.model, tokens),
             blockwise_hidden(pair.dense.model, tokens));
}

TEST_CASE("a quantised base is the projections of the layers, without a dense copy", "[model]") {
  const QuantisedPair pair({"q_proj"}, torch::kBFloat16);
  CHECK(pair.quantised.model->is_quantised());
  CHECK_FALSE(pair.dense.model->is_quantised());
  int64_t quantised = 0, elements = 0;
  const auto layers = pair.quantised.model->linear_layers();
  for (const auto& parameter : pair.quantised.registry->all()) {
    const bool projection = parameter.name.ends_with("_proj.weight");
    CHECK(parameter.tensor.is_meta() == projection);
    if (!projection) continue;
    const auto* layer = layers.at(parameter.name);
    quantised += layer->weight_bytes();
    elements += parameter.tensor.numel();
    CHECK(layer->weight.sizes() == parameter.tensor.sizes());
    CHECK_FALSE(parameter.trainable);
    CHECK(pair.quantised.model->quantised_layers().at(parameter.name) == layer);
  }
  CHECK(pair.quantised.model->quantised_layers().size() + 1 == layers.size());  // not lm_head
  CHECK(elements == pair.dense.registry->count(false) - pair.dense.model->lm_head->weight.numel());
  // 4.127 bits, and a little more because the matrices are small.
  CHECK(static_cast<double>(quantised) / static_cast<double>(elements) ==
        Approx(0.53).margin(0.02));
}

TEST_CASE("a quantised layer gives its dequantised values and takes others", "[model]") {
  const auto precision = GENERATE(BasePrecision::kNf4, BasePrecision::kFp8);
  Linear layer(6, 4);
  layer->keep_quantised(precision, torch::kCPU);
  CHECK_THROWS_AS(layer->forward(normal({2, 6}, 1)), c10::Error);  // no values yet
  const auto values = normal({4, 6}, 2);
  layer->fill(values.to(torch::kBFloat16));
  const auto want = quantise(values.to(torch::kBFloat16), precision);
  CHECK_SAME(layer->merged_weight(), want.dequantised(torch::kFloat32));
  CHECK_SAME(layer->forward(normal({2, 6}, 1)), want.product(normal({2, 6}, 1)));
  CHECK(layer->weight_bytes() == want.bytes());
  CHECK_THROWS_AS(layer->fill(normal({6, 4}, 1)), c10::Error);
  CHECK_THROWS_AS(join_weights({layer}), c10::Error);
}
