#include "setup/memory_estimate.h"

#include "config/config_yaml.h"
#include "tensor/frozen/nf4.h"
#include "tests/support/catch.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

MemoryEstimate estimate(const Config& config) {
  Llama model(tiny_shape(), config.cache, config.attention);
  return estimate_memory({config, tiny_shape(), classify_parameters(model, config.tune, 0.0)});
}

Config blockwise_config() {
  Config config;
  config.cache = tiny_cache();
  config.tune.conv = 1.0;
  config.data.context_length = 64;
  return config;
}

/// Those of configs/bench_7b.yaml, without memory behind them.
std::vector<RegisteredParameter> parameters_without_memory(const Config& config) {
  const ModelShape& shape = config.model.init;
  const int64_t E = shape.hidden_size, F = shape.intermediate_size, V = shape.vocab_size;
  const int64_t R = config.tune.lora_rank, mixed = config.cache.mixed_slots();
  std::vector<RegisteredParameter> parameters;
  auto add = [&](const std::string& name, std::vector<int64_t> sizes, ParameterGroup group,
                 const std::optional<double>& rate) {
    const auto tensor = torch::empty(sizes, torch::device(torch::kMeta));
    parameters.push_back({name, tensor, group, rate.value_or(0.0) > 0});
  };
  add("model.embed_tokens.weight", {V, E}, ParameterGroup::kEmbed, config.tune.embed);
  add("lm_head.weight", {V, E}, ParameterGroup::kBase, config.tune.all);
  for (int64_t n = 0; n < shape.num_layers; ++n) {
    const std::string layer = "model.layers." + std::to_string(n) + ".";
    for (const auto* name : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
      const std::string projection = layer + "self_attn." + name;
      add(projection + ".weight", {E, E}, ParameterGroup::kBase, config.tune.all);
      if (!config.tune.lora) continue;
      add(projection + ".lora_A.weight", {R, E}, ParameterGroup::kLora, config.tune.lora);
      add(projection + ".lora_B.weight", {E, R}, ParameterGroup::kLora, config.tune.lora);
    }
    for (const auto* name : {"gate_proj", "up_proj", "down_proj"})
      add(layer + "mlp." + name + ".weight", {F, E}, ParameterGroup::kBase, config.tune.all);
    if (config.tune.conv)
      add(layer + "self_attn.memory_saver.layers.0.weight",
          {mixed, 2 * shape.head_dim, config.cache.kernel_size}, ParameterGroup::kConv,
          config.tune.conv);
  }
  return parameters;
}

/// GiB of the 7B shape.
double estimate_7b(const std::vector<std::string>& overrides) {
  auto config = load_config(LOCOCO_SOURCE_DIR "/configs/bench_7b.yaml", overrides);
  config.model.init.resolve_defaults();
  const auto result =
      estimate_memory({config, config.model.init, parameters_without_memory(config)});
  return static_cast<double>(result.total()) / (1 << 30);
}

}  // namespace

TEST_CASE("the estimate of a 7B model is what an H200 was seen to need, within a twentieth",
          "[setup]") {
  // lococo-bench memory, peak with the optimizer's state; the last one before a recomputed layer
  // gave up 1.1 GiB of it.
  CHECK(estimate_7b({}) == Approx(17.74).epsilon(0.05));
  CHECK(estimate_7b({"train.micro_batch=4"}) == Approx(25.76).epsilon(0.05));
  CHECK(estimate_7b({"tune.lora=5e-5"}) == Approx(18.13).epsilon(0.05));
  CHECK(estimate_7b({"cache.policy=none", "tune.conv=null", "tune.lora=5e-5",
                     "train.activation_checkpointing=true"}) == Approx(34.1).epsilon(0.05));
}

TEST_CASE("weights, gradients and moments are counted to the byte", "[setup]") {
  auto config = blockwise_config();
  config.model.dtype = DType::kBFloat16;
  Llama model(tiny_shape(), config.cache, config.attention);
  int64_t trained = 0, frozen = 0;
  for (const auto& item : model->named_parameters()) {
    (item.key().find("memory_saver") != std::string::npos ? trained : frozen) +=
        item.value().numel();
  }
  const auto result = estimate(config);
  CHECK(result.weights_bytes == 4 * trained + 2 * frozen);
  CHECK(result.gradients_bytes == 4 * trained);
  CHECK(result.optimizer_bytes == 8 * trained);

  const auto moments = [&](int64_t ranks) {
    const auto parameters = classify_parameters(model, config.tune, 0.0);
    const ModelShape shape = tiny_shape();
    return estimate_memory({config, shape, parameters, all_layers(shape), /*in_flight=*/1, ranks})
        .optimizer_bytes;
  };
  CHECK(moments(4) == 8 * trained);
  config.distributed.shard_optimizer = true;
  CHECK(moments(4) == 2 * trained);
  CHECK(moments(1) == 8 * trained);
}

TEST_CASE("stages share weights and optimizer, and keep a block's activations for each in flight",
          "[setup]") {
  auto config = blockwise_config();
  auto shape = tiny_shape();
  shape.num_layers = 4;
  const auto all = list_parameters(shape, config.cache);
  const auto of = [&](const LayerRange& part, int64_t in_flight) {
    const auto own = classify_parameters(parameters_of(part, all), config.tune, 0.0);
    return estimate_memory({config, shape, own, part, in_flight});
  };
  const auto whole = of(all_layers(shape), 1), first = of({0, 2, 4, false}, 2),
             last = of({2, 4, 4, false}, 1);
  CHECK(first.weights_bytes + last.weights_bytes == whole.weights_bytes);
  CHECK(first.optimizer_bytes + last.optimizer_bytes == whole.optimizer_bytes);
  CHECK(first.cache_bytes == whole.cache_bytes);
  CHECK(2 * last.cache_bytes == whole.cache_bytes);
  CHECK(last.activations_bytes < whole.activations_bytes);
  CHECK(first.activations_bytes > of({0, 2, 4, false}, 1).activations_bytes);
  CHECK(first.total() < whole.total() + first.activations_bytes / 2);
}

TEST_CASE("stages of whole sequences keep a micro-batch's activations for each in flight",
          "[setup]") {
  Config config;
  config.train.activation_checkpointing = true;
  config.data.context_length = 64;
  auto shape = tiny_shape();
  shape.num_layers = 4;
  const auto all = list_parameters(shape, config.cache);
  const auto activations = [&](const LayerRange& part, int64_t in_flight) {
    const auto own = classify_parameters(parameters_of(part, all), config.tune, 0.0);
    return estimate_memory({config, shape, own, part, in_flight}).activations_bytes;
  };
  const LayerRange first = {0, 2, 4, false}, last = {2, 4, 4, false};
  const int64_t states = 64 * shape.hidden_size * 4;
  // Of each micro-batch what its layers keep and what left them; one gradient at a time.
  CHECK(activations(first, 3) - states == 3 * (activations(first, 1) - states));
  // The last norm's output, a gradient, and its layers as the first stage has them.
  CHECK(activations(last, 1) == activations(first, 1));
}

TEST_CASE("a base in NF4 needs its 4 bits, and the largest matrix once more while it multiplies",
          "[setup]") {
  auto config = blockwise_config();
  config.model.dtype = DType::kBFloat16;
  const auto dense = estimate(config);
  config.model.base_precision = BasePrecision::kNf4;
  const auto shape = tiny_shape();
  const int64_t E = shape.hidden_size, F = shape.intermediate_size;
  const int64_t G = shape.num_kv_heads * shape.head_dim;
  const int64_t saved =
      shape.num_layers * (2 * (2 * E * E + 2 * E * G + 3 * E * F) - 2 * nf4_bytes(E * E) -
                          2 * nf4_bytes(E * G) - 3 * nf4_bytes(E * F));
  CHECK(estimate(config).weights_bytes == dense.weights_bytes - saved);
  CHECK(estimate(config).workspace_bytes == dense.workspace_bytes + 2 * E * F);
  // 6,476 million weights at half a byte and a little, instead of two bytes.
  CHECK(estimate_7b({"model.base_precision=nf4"}) == Approx(estimate_7b({}) - 8.87).margin(0.05));
}

TEST_CASE("a base in FP8 needs 8 bits a weight, and as many again where gradients pass",
          "[setup]") {
  auto config = blockwise_config();
  config.model.dtype = DType::kBFloat16;
  const auto dense = estimate(config);
  config.model.base_precision = BasePrecision::kFp8;
  const auto shape = tiny_shape();
  const int64_t E = shape.hidden_size, F = shape.intermediate_size;
  const int64_t G = shape.num_kv_heads * shape.head_dim;
  const int64_t elements = shape.num_layers * (2 * E * E + 2 * E * G + 3 * E * F);
  // Outputs of all projections of a layer, and inputs.
  const int64_t outputs = shape.num_layers * (3 * E + 2 * G + 2 * F);
  const int64_t inputs = shape.num_layers * (6 * E + F);
  CHECK(estimate(config).weights_bytes == dense.weights_bytes + 4 * (outputs + inputs));
  config.tune = TuneConfig();
  const auto read = estimate(config).weights_bytes;
  config.model.base_precision = BasePrecision::kAuto;
  CHECK(read == estimate(config).weights_bytes - elements + 4 * outputs);
}

TEST_CASE("the cache is counted as it is: keys, values and scores of slots and block", "[setup]") {
  const auto config = blockwise_config();
  const auto shape = tiny_shape();
  const int64_t slots = config.cache.slots + config.cache.block;
  CHECK(estimate(config).cache_bytes ==
        shape.num_layers * shape.num_kv_heads * slots * (2 * shape.head_dim * 4 + 4));
}

TEST_CASE("teaching keeps its activations, whatever activation checkpointing says", "[setup]") {
  auto config = load_config(LOCOCO_SOURCE_DIR "/configs/llama2_7b_memory.yaml",
                            {"model.path=''", "model.init.vocab_size=32000"});
  config.tune.lora.reset();
  const auto bytes = [&] {
    return estimate_memory({config, config.model.init, parameters_without_memory(config)}).total();
  };
  config.model.init.resolve_defaults();
  const int64_t kept = bytes();
  config.train.activation_checkpointing = !config.train.activation_checkpointing;
  CHECK(bytes() == kept);
}

TEST_CASE("windows of blocks keep a cache before each block, and a teacher its hidden states",
          "[setup]") {
  auto config = blockwise_config();  // eight blocks
  const auto one = estimate(config);
  config.cache.bptt_blocks = 4;
  CHECK(estimate(config).cache_bytes == 6 * one.cache_bytes);
  config.cache.bptt_blocks = 100;
  CHECK(estimate(config).cache_bytes == 10 * one.cache_bytes);
  config.cache.bptt_blocks = 1;
  config.cache.distill = 0.5;
  CHECK(estimate(config).activations_bytes ==
        one.activations_bytes + 64 * tiny_shape().hidden_size * 4);
}

TEST_CASE("blockwise memory does not grow with the context, full-sequence memory does", "[setup]") {
  auto config = blockwise_config();
  const auto short_total = estimate(config).total();
  config.data.context_length = 64 * 64;
  CHECK(estimate(config).total() == short_total);

  config.cache = CacheConfig{};
  const auto whole_activations = estimate(config).activations_bytes;
  CHECK(estimate(config).cache_bytes == 0);
  config.data.context_length *= 2;
  CHECK(estimate(config).activations_bytes == 2 * whole_activations);
}

TEST_CASE("activation checkpointing and a smaller micro-batch need less", "[setup]") {
  Config config;
  config.data.context_length = 512;
  config.tune.all = 1.0;
  config.train.micro_batch = 2;
  const auto plain = estimate(config);
  config.train.activation_checkpointing = true;
  CHECK(estimate(config).activations_bytes < plain.activations_bytes);
  config.train.activation_checkpointing = false;
  config.train.micro_batch = 1;
  CHECK(2 * estimate(config).activations_bytes == plain.activations_bytes);
}

TEST_CASE("attention outputs that are not kept are needed for one layer at a time", "[setup]") {
  std::vector<std::string> options = {"cache.policy=none", "tune.conv=null", "tune.lora=5e-5",
                                      "train.activation_checkpointing=true"};
  const double kept = estimate_7b(options);
  options.push_back("train.recompute_attention=true");
  // 32,768 tokens of 4,096 channels and 32 numbers, 31 times.
  const double bytes = 31.0 * 32768 * (4096 * 2 + 32 * 4);
  CHECK(estimate_7b(options) == Approx(kept - bytes / (1 << 30)).epsilon(1e-6));
}

TEST_CASE("segments need memory for the gradients of a call, and repeat no keys for good",
          "[setup]") {
  Config config;
  config.data.context_length = 65536;
  config.tune.norm = 1.0;
  config.train.loss_chunk = 1;
  const auto kept = estimate(config);
  config.train.activation_checkpointing = true;
  const auto recomputed = estimate(config);
  config.attention.pattern = PatternKind::kSf;
  CHECK(estimate(config).activations_bytes == recomputed.activations_bytes);
  CHECK(estimate(config).workspace_bytes > recomputed.workspace_bytes);
  config.train.activation_checkpointing = false;
  CHECK(estimate(config).activations_bytes < kept.activations_bytes);  // G < H
}

TEST_CASE("the printed estimate has a line for each part and their total", "[setup]") {
  MemoryEstimate result;
  result.weights_bytes = int64_t{3} << 30;
  result.cache_bytes = int64_t{1} << 29;
  const auto text = result.text();
  CHECK_CONTAINS(text, "weights      3.00 GiB");
  CHECK_CONTAINS(text, "cache        0.50 GiB");
  CHECK_CONTAINS(text, "total        3.50 GiB");
}

TEST_CASE("what is trained beside the convolutions needs the activations that its gradient reads",
          "[setup]") {
  auto config = blockwise_config();
  config.tune.lora = 1e-3;
  auto activations = [&](const std::vector<std::string>& targets) {
    Llama model(tiny_shape(), config.cache, config.attention);
    model->add_lora(/*rank=*/2, /*alpha=*/4.0, targets, /*seed=*/1);
    return estimate_memory({config, tiny_shape(), classify_parameters(model, config.tune, 0.0)})
        .activations_bytes;
  };
  const auto shape = tiny_shape();
  const int64_t token = shape.num_layers * config.cache.block * 4;
  const int64_t none = estimate(config).activations_bytes;
  CHECK(activations({"q_proj"}) - none == token * shape.hidden_size);
  CHECK(activations({"q_proj", "v_proj"}) == activations({"k_proj"}));
  CHECK(activations({"o_proj"}) == none);  // attention keeps its output anyway
  CHECK(activations({"down_proj"}) - none == token * shape.intermediate_size);
}

TEST_CASE("mixtures and unrotated keys are counted with the activations", "[setup]") {
  auto config = blockwise_config();
  const auto unrotated = estimate(config).activations_bytes;
  config.cache.keys = KeyKind::kRotated;
  const auto lococo = estimate(config).activations_bytes;
  CHECK(lococo < unrotated);
  config.cache.mix_keys = false;
  const auto values_only = estimate(config).activations_bytes;
  CHECK(values_only < lococo);
  config.cache.policy = CachePolicyKind::kH2o;
  CHECK(estimate(config).activations_bytes < values_only);
}
