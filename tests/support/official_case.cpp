#include "tests/support/official_case.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "lococo/step_plan.h"
#include "model/registry.h"
#include "pass/sequence_pass.h"
#include "tests/support/catch.h"

namespace lococo::testing {
namespace {

constexpr double kLogits = 2e-4, kLoss = 1e-5, kCache = 2e-5, kMass = 2e-4, kGradient = 1e-3;

/// Of the run's largest gradient: what float32 cannot resolve. The bias of a last convolution
/// almost cancels in the softmax behind it (2.5e-6 beside gradients of 0.24), and the official
/// value of one is itself 1.6e-3 of its largest away from float64's.
constexpr double kGradientFloor = 1e-7;

ModelShape read_shape(const nlohmann::json& model) {
  ModelShape shape;
  shape.vocab_size = model.at("vocab_size");
  shape.hidden_size = model.at("hidden_size");
  shape.intermediate_size = model.at("intermediate_size");
  shape.num_layers = model.at("num_hidden_layers");
  shape.num_heads = model.at("num_attention_heads");
  shape.num_kv_heads = model.at("num_key_value_heads");
  shape.max_position_embeddings = model.at("max_position_embeddings");
  shape.rms_norm_eps = model.at("rms_norm_eps");
  shape.rope_theta = model.at("rope_theta");
  shape.rope_scaling.type = RopeType::kLinear;
  REQUIRE(model.at("rope_scaling").at("type") == "linear");
  shape.rope_scaling.factor = model.at("rope_scaling").at("factor");
  shape.resolve_defaults();
  return shape;
}

CacheConfig read_cache(const nlohmann::json& lococo) {
  CacheConfig cache;  // every other option keeps its default, which is the official behaviour
  cache.policy = lococo.at("method") == "conv" ? CachePolicyKind::kLococo : CachePolicyKind::kH2o;
  cache.slots = lococo.at("mem_size");
  cache.local = lococo.at("local_len");
  cache.keep_fraction = lococo.at("hh_keep_rate");
  cache.conv_layers = lococo.at("n_convlayer");
  cache.kernel_size = lococo.at("kernel_size");
  cache.expand = lococo.at("expand");
  cache.normalizer_init = lococo.at("normalizer_init");
  cache.block = lococo.at("block_size");
  return cache;
}

void check_blocks(const OfficialCase& official, Llama& model) {
  torch::NoGradGuard no_grad;
  const auto tokens_BT = official.tensors.at("input_ids");
  auto caches = model->empty_caches();
  int64_t index = 0;
  for (const auto& step : make_step_plan(official.cache, tokens_BT.size(1))) {
    const std::string block = "block" + std::to_string(index++) + ".";
    INFO(block);
    const auto hidden_BLE =
        model->forward_block(tokens_BT.narrow(1, step.begin, step.length()), step, caches);
    const auto logits_BLV = at::linear(hidden_BLE, model->head_weight());
    if (official.tensors.contains(block + "logits")) {
      CHECK(max_difference(logits_BLV, official.tensors.at(block + "logits")) <= kLogits);
    }
    const auto scored =
        logits_BLV.narrow(1, 0, step.length() - 1).reshape({-1, official.shape.vocab_size});
    const auto targets = tokens_BT.narrow(1, step.begin + 1, step.length() - 1).reshape({-1});
    const auto loss = torch::nll_loss(torch::log_softmax(scored, -1), targets);
    CHECK(max_difference(loss.view({1}), official.tensors.at(block + "loss")) <= kLoss);
    for (size_t n = 0; n < caches.size(); ++n) {
      const std::string layer = block + "layer" + std::to_string(n) + ".";
      if (!official.tensors.contains(layer + "keys")) continue;
      INFO(layer);
      CHECK(max_difference(caches[n].k_BGSD, official.tensors.at(layer + "keys")) <= kCache);
      CHECK(max_difference(caches[n].v_BGSD, official.tensors.at(layer + "values")) <= kCache);
      CHECK(max_difference(caches[n].mass_BGS, official.tensors.at(layer + "hh_scores")) <= kMass);
    }
  }
}

void check_gradients(const OfficialCase& official, Llama& model) {
  TuneConfig tune;
  tune.conv = tune.embed = tune.norm = 1.0;
  ParameterRegistry registry(model, tune, /*weight_decay=*/0.0, torch::kFloat32);
  const auto tokens_BT = official.tensors.at("input_ids");
  const auto pass = make_blockwise_pass(official.cache, /*loss_chunk=*/17);
  // The official loss of a block is a mean; all blocks are of the same length. Inside a block the
  // last query has no target, so the token after the last input never counts and any value serves.
  const auto with_end = torch::cat({tokens_BT, tokens_BT.narrow(1, 0, 1)}, 1);
  pass->train(model, {with_end});
  const double targets_of_block =
      static_cast<double>(tokens_BT.size(0) * (official.cache.block - 1));
  double largest = 0;
  for (const auto& [name, tensor] : official.tensors) {
    if (name.starts_with("grad.")) largest = std::max(largest, tensor.abs().max().item<double>());
  }
  int64_t compared = 0;
  for (const auto& parameter : registry.trainable()) {
    INFO(parameter.name);
    REQUIRE(parameter.tensor.grad().defined());
    const auto& want = official.tensors.at("grad." + parameter.name);
    const double allowed =
        std::max(kGradient * want.abs().max().item<double>(), kGradientFloor * largest);
    CHECK(max_difference(parameter.tensor.grad() / targets_of_block, want) <= allowed);
    ++compared;
  }
  int64_t given = 0;
  for (const auto& [name, tensor] : official.tensors) given += name.starts_with("grad.");
  CHECK(compared == given);
}

}  // namespace

double max_difference(const torch::Tensor& got, const torch::Tensor& want) {
  INFO("got " << got.sizes() << ", want " << want.sizes());
  REQUIRE(got.sizes() == want.sizes());
  return (got.detach().to(torch::kFloat64) - want.to(torch::kFloat64)).abs().max().item<double>();
}

OfficialCase read_official_case(const std::filesystem::path& json_file) {
  std::ifstream stream(json_file);
  const auto json = nlohmann::json::parse(stream);
  OfficialCase official;
  official.shape = read_shape(json.at("model"));
  official.cache = read_cache(json.at("lococo"));
  auto tensors = json_file;
  official.tensors = read_tensors(tensors.replace_extension(".safetensors").string());
  return official;
}

Llama build_official_model(const OfficialCase& official, AttentionBackend backend) {
  torch::NoGradGuard no_grad;
  AttentionConfig attention;
  attention.backend = backend;
  Llama model(official.shape, official.cache, attention);
  size_t loaded = 0;
  for (auto& item : model->named_parameters()) {
    INFO(item.key());
    const auto& value = official.tensors.at("param." + item.key());
    REQUIRE(item.value().sizes() == value.sizes());
    item.value().copy_(value);
    ++loaded;
  }
  size_t given = 0;
  for (const auto& [name, tensor] : official.tensors) given += name.starts_with("param.");
  REQUIRE(loaded == given);
  return model;
}

void check_official_case(const OfficialCase& official, AttentionBackend backend) {
  auto model = build_official_model(official, backend);
  check_blocks(official, model);
  check_gradients(official, model);
}

}  // namespace lococo::testing
