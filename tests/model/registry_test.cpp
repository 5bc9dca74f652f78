#include "model/registry.h"

#include <map>

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

Llama model_with_lora() {
  auto model = tiny_llama(1, tiny_cache());
  model->add_lora(2, 4.0, {"q_proj"}, 1);
  return model;
}

std::map<std::string, RegisteredParameter> by_name(const std::vector<RegisteredParameter>& list) {
  std::map<std::string, RegisteredParameter> map;
  for (const auto& parameter : list) map[parameter.name] = parameter;
  return map;
}

}  // namespace

TEST_CASE("every parameter has its group", "[model]") {
  auto model = model_with_lora();
  const auto parameters = by_name(classify_parameters(model, TuneConfig{}, 0.0));
  const std::map<std::string, ParameterGroup> want = {
      {"model.embed_tokens.weight", ParameterGroup::kEmbed},
      {"model.layers.0.input_layernorm.weight", ParameterGroup::kNorm},
      {"model.layers.1.post_attention_layernorm.weight", ParameterGroup::kNorm},
      {"model.norm.weight", ParameterGroup::kNorm},
      {"model.layers.0.self_attn.q_proj.weight", ParameterGroup::kBase},
      {"model.layers.0.self_attn.q_proj.lora_A.weight", ParameterGroup::kLora},
      {"model.layers.0.self_attn.q_proj.lora_B.weight", ParameterGroup::kLora},
      {"model.layers.0.self_attn.memory_saver.layers.0.weight", ParameterGroup::kConv},
      {"model.layers.0.self_attn.memory_saver.layers.0.bias", ParameterGroup::kConv},
      // its name contains "norm", but it is no RMSNorm
      {"model.layers.0.self_attn.memory_saver.normalizer", ParameterGroup::kNormalizer},
      {"model.layers.0.mlp.down_proj.weight", ParameterGroup::kBase},
      {"lm_head.weight", ParameterGroup::kBase}};
  for (const auto& [name, group] : want) {
    INFO(name);
    REQUIRE(parameters.contains(name));
    CHECK(parameters.at(name).group == group);
    CHECK_FALSE(parameters.at(name).trainable);
  }
  CHECK(parameters.size() == model->named_parameters().size());
}

TEST_CASE("a group is trained when it has a positive learning rate", "[model]") {
  auto model = model_with_lora();
  TuneConfig tune;
  tune.conv = 0.05;
  tune.norm = 0.0;
  tune.lora = 1e-4;
  for (const auto& parameter : classify_parameters(model, tune, 0.0)) {
    INFO(parameter.name);
    const bool conv =
        parameter.group == ParameterGroup::kConv || parameter.group == ParameterGroup::kNormalizer;
    const bool lora = parameter.group == ParameterGroup::kLora;
    CHECK(parameter.trainable == (conv || lora));
    CHECK(parameter.learning_rate == (conv ? 0.05 : lora ? 1e-4 : 0.0));
  }
}

TEST_CASE("the normalizer takes the convolutions' learning rate unless it has its own", "[model]") {
  auto model = tiny_llama(1, tiny_cache());
  const std::string name = "model.layers.1.self_attn.memory_saver.normalizer";
  TuneConfig tune;
  tune.conv = 0.05;
  CHECK(by_name(classify_parameters(model, tune, 0.0)).at(name).learning_rate == 0.05);
  tune.normalizer = 0.01;
  CHECK(by_name(classify_parameters(model, tune, 0.0)).at(name).learning_rate == 0.01);
  tune.normalizer = 0.0;
  CHECK_FALSE(by_name(classify_parameters(model, tune, 0.0)).at(name).trainable);
}

TEST_CASE("tune.all trains every weight of the base", "[model]") {
  auto model = model_with_lora();
  TuneConfig tune;
  tune.all = 1e-3;
  for (const auto& parameter : classify_parameters(model, tune, 0.0)) {
    INFO(parameter.name);
    const bool base = parameter.group == ParameterGroup::kBase ||
                      parameter.group == ParameterGroup::kEmbed ||
                      parameter.group == ParameterGroup::kNorm;
    CHECK(parameter.trainable == base);
  }
}

TEST_CASE("weight decay spares biases, norms and normalizers", "[model]") {
  auto model = model_with_lora();
  for (const auto& parameter : classify_parameters(model, TuneConfig{}, 0.1)) {
    INFO(parameter.name);
    const bool spared = parameter.tensor.dim() == 1;
    CHECK(parameter.weight_decay == (spared ? 0.0 : 0.1));
  }
}

TEST_CASE("what is trained is a float32 leaf, what is frozen has the run's dtype", "[model]") {
  auto model = model_with_lora();
  const auto before = snapshot(model);
  TuneConfig tune;
  tune.conv = 0.05;
  const ParameterRegistry registry(model, tune, 0.0, torch::kBFloat16);
  int64_t trained = 0, frozen = 0;
  for (const auto& item : model->named_parameters()) {
    INFO(item.key());
    const bool is_trained = item.key().find("memory_saver") != std::string::npos;
    CHECK(item.value().requires_grad() == is_trained);
    CHECK(item.value().scalar_type() == (is_trained ? torch::kFloat32 : torch::kBFloat16));
    CHECK(torch::equal(item.value(), before.at(item.key()).to(item.value().scalar_type())));
    (is_trained ? trained : frozen) += item.value().numel();
  }
  CHECK(registry.count(true) == trained);
  CHECK(registry.count(false) == frozen);
  // The registry's handles are the model's own tensors.
  auto named = model->named_parameters();
  for (const auto& parameter : registry.all())
    CHECK(parameter.tensor.is_same(named[parameter.name]));
  for (const auto& parameter : registry.trainable()) CHECK(parameter.trainable);
}

TEST_CASE("the summary counts what is trained and what is frozen", "[model]") {
  auto model = tiny_llama(1, tiny_cache());
  TuneConfig tune;
  tune.conv = 0.05;
  const ParameterRegistry registry(model, tune, 0.0, torch::kFloat32);
  const auto text = registry.summary();
  CHECK_CONTAINS(text, "trained  conv");
  CHECK_CONTAINS(text, "learning rate 0.05");
  CHECK_CONTAINS(text, "frozen   norm");
  CHECK_CONTAINS(text, "trained " + std::to_string(registry.count(true)) + ", frozen " +
                           std::to_string(registry.count(false)));
}
