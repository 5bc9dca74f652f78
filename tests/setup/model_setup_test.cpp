#include "setup/model_setup.h"

#include <ctime>
#include <filesystem>

#include "core/hf_config.h"
#include "core/log.h"
#include "setup/describe_run.h"
#include "tensor/kit/memory_stats.h"
#include "tensor/kit/safetensors_tensor.h"
#include "tensor/kit/torch.h"
#include "tests/setup/scaled_shape.h"
#include "tests/support/catch.h"
#include "tests/support/fixtures.h"
#include "tests/support/stderr_of.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_base.h"
#include "tests/support/user_error.h"
#include "weights/export.h"
#include "weights/lora_adapter.h"

namespace lococo::testing {
namespace {

namespace fs = std::filesystem;

/// A cache that holds `length` tokens without a compression.
Config config_for(const std::string& base, KeyKind keys, int64_t length) {
  Config config = config_on(base);
  config.cache.policy = CachePolicyKind::kH2o;
  config.cache.slots = length;
  config.cache.keys = keys;
  return config;
}

torch::Tensor logits_of(const Config& config, const torch::Tensor& tokens_BL) {
  auto prepared = prepare_model(config, torch::kCPU);
  return at::linear(blockwise_hidden(prepared.model, tokens_BL), prepared.model->head_weight());
}

double largest_difference(const torch::Tensor& a, const torch::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

}  // namespace

TEST_CASE("Unrotated keys compute what rotated ones do with the base's own RoPE scaling",
          "[setup]") {
  const auto type =
      GENERATE(RopeType::kLinear, RopeType::kYarn, RopeType::kLlama3, RopeType::kDynamic);
  TemporaryFolder folder;
  const std::string base = write_base(folder.path(), scaled_shape(type));
  const auto tokens = random_tokens(2, 32, 8);
  const auto rotated = logits_of(config_for(base, KeyKind::kRotated, 32), tokens);
  const auto unrotated = logits_of(config_for(base, KeyKind::kUnrotated, 32), tokens);
  CHECK(largest_difference(rotated, unrotated) < 1e-4);

  Config plain = config_for(base, KeyKind::kRotated, 32);
  plain.model.rope_scaling = RopeScaling{};
  // Below the original length dynamic scaling does nothing, anything else shows.
  const double without = largest_difference(logits_of(plain, tokens), unrotated);
  CHECK((type == RopeType::kDynamic ? without == 0.0 : without > 1e-3));
}

TEST_CASE("A cap of positions that a small base has no room for is told with what helps",
          "[setup]") {
  TemporaryFolder folder;
  const auto told = [&](int64_t positions) {
    ModelShape shape = tiny_shape();
    shape.rope_scaling = {};
    shape.max_position_embeddings = positions;
    Config config = config_for(write_base(folder.path(), shape), KeyKind::kUnrotated, 32);
    config.cache.block = 16;
    config.cache.positions = PositionKind::kText;
    config.cache.position_cap = 80;
    configure_log(LogLevel::kWarn, /*is_main_rank=*/true);
    const auto text = stderr_of([&] { prepare_model(config, torch::kCPU); });
    configure_log(LogLevel::kError, /*is_main_rank=*/true);
    return text;
  };
  CHECK(told(96).empty());
  CHECK_CONTAINS(told(64), "use 48 or less");
  CHECK_CONTAINS(told(40),
                 "use fewer cache.slots or a shorter cache.block, so that slots and two "
                 "blocks are 40 or less");
}

TEST_CASE("bfloat16 on a CPU is told to be slow, in one line", "[setup]") {
  TemporaryFolder folder;
  Config config = config_on(write_base(folder.path()));
  config.cache = {};
  const auto told = [&] {
    configure_log(LogLevel::kWarn, /*is_main_rank=*/true);
    const auto text = stderr_of([&] { prepare_model(config, torch::kCPU); });
    configure_log(LogLevel::kError, /*is_main_rank=*/true);
    return text;
  };
  CHECK(told().empty());
  config.model.dtype = DType::kBFloat16;
  CHECK_CONTAINS(told(), "model.dtype: bfloat16 takes several times as long");
}

TEST_CASE("transformers' llama3 logits come out of unrotated keys too", "[setup]") {
  const auto base = fixtures_dir() / "hf" / "gqa-llama3";
  if (!fs::exists(base / "expected.safetensors")) SKIP_FIXTURES("no hf/gqa-llama3");
  const auto expected = read_tensors((base / "expected.safetensors").string());
  const auto tokens = expected.at("input_ids");
  const int64_t length = tokens.size(1);
  const auto rotated = logits_of(config_for(base, KeyKind::kRotated, length), tokens);
  const auto unrotated = logits_of(config_for(base, KeyKind::kUnrotated, length), tokens);
  CHECK(largest_difference(rotated, unrotated) < 1e-4);
  CHECK(largest_difference(expected.at("logits"), unrotated) < 1e-4);
}

TEST_CASE("A merged export of a run with unrotated keys keeps the base's RoPE scaling", "[setup]") {
  TemporaryFolder folder;
  const auto config = config_on(write_base(folder.make("base"), scaled_shape(RopeType::kLlama3)));
  auto prepared = prepare_model(config, torch::kCPU);
  ExportConfig merged;
  merged.output = folder / "merged";
  export_model(merged, {config.model.path, prepared.base_fingerprint, ""}, prepared.model);
  const RopeScaling scaling = read_hf_config(merged.output).rope_scaling;
  CHECK(scaling.type == RopeType::kLlama3);
  CHECK(scaling.factor == 4.0);
  CHECK(scaling.original_max_position_embeddings == 16);
}

TEST_CASE("tune.lora adds fresh LoRA to an adapter that has none", "[setup]") {
  TemporaryFolder folder;
  Config config = config_on(write_base(folder.make("base")));
  config.tune.conv = 1e-3;
  config.model.adapter = write_checkpoint(config, folder / "run");
  const auto without = prepare_model(config, torch::kCPU);
  CHECK(without.registry->summary().find("lora") == std::string::npos);
  config.tune.lora = 1e-3;
  config.tune.lora_rank = 3;
  const auto with = prepare_model(config, torch::kCPU);
  // A and B of four projections (hidden 32, two of eight key-value heads) in two layers.
  const std::string line = "trained  lora: " + std::to_string(2 * 3 * (4 * 32 + 2 * 32 + 2 * 16));
  CHECK_CONTAINS(with.registry->summary(), line);
  CHECK_CONTAINS(describe_run(config), line);
  auto one = without.model, other = with.model;
  const auto tokens = random_tokens(1, 40, 8);
  CHECK(torch::equal(blockwise_hidden(one, tokens), blockwise_hidden(other, tokens)));
}

TEST_CASE("An adapter's LoRA goes on, and options that differ from it are refused", "[setup]") {
  TemporaryFolder folder;
  Config config = config_on(write_base(folder.make("base")));
  config.tune.lora = 1e-3;
  config.tune.lora_rank = 2;
  config.tune.lora_alpha = 6.0;
  config.tune.lora_targets = {"q_proj", "down_proj"};
  config.model.adapter = write_checkpoint(config, folder / "run");
  CHECK_CONTAINS(describe_run(config), "trained  lora: ");
  CHECK(prepare_model(config, torch::kCPU).registry->summary().find("trained  lora: ") !=
        std::string::npos);
  const auto refused = [&](const auto& change) {
    Config changed = config;
    change(&changed.tune);
    const std::string line = user_error_of([&] { prepare_model(changed, torch::kCPU); });
    CHECK(user_error_of([&] { describe_run(changed); }) == line);
    changed.tune.lora.reset();  // who does not train it need not know its shape
    prepare_model(changed, torch::kCPU);
    CHECK_CONTAINS(describe_run(changed), "frozen   lora: ");
    return line;
  };
  CHECK_CONTAINS(refused([](TuneConfig* tune) { tune->lora_rank = 4; }), "tune.lora_rank: differs");
  CHECK_CONTAINS(refused([](TuneConfig* tune) { tune->lora_alpha = 8; }), "tune.lora_alpha: ");
  CHECK_CONTAINS(refused([](TuneConfig* tune) { tune->lora_targets = {"q_proj"}; }),
                 "tune.lora_targets: differs from the LoRA of " + config.model.adapter);
}

TEST_CASE("A run of a 70B model is described at once and in little memory", "[setup]") {
  Config config = config_on("");
  ModelShape& shape = config.model.init;
  shape.vocab_size = 128256;
  shape.hidden_size = 8192;
  shape.intermediate_size = 28672;
  shape.num_layers = 80;
  shape.num_heads = 64;
  shape.num_kv_heads = 8;
  config.tune.lora = 1e-4;
  config.tune.conv = 1e-2;
  config.cache.slots = 4096;
  config.cache.block = 4096;
  config.data.context_length = 131072;
  reset_peak(torch::kCPU);
  const int64_t before = peak_memory_bytes(torch::kCPU);
  const std::clock_t start = std::clock();  // of the processor: others may use it too
  const std::string text = describe_run(config);
  CHECK(std::clock() - start < 2 * CLOCKS_PER_SEC);
  CHECK(peak_memory_bytes(torch::kCPU) - before < int64_t{64} << 20);
  CHECK_CONTAINS(text, "frozen   base: 69501714432 parameters");
  CHECK_CONTAINS(text, "warning: the run needs about ");
}

TEST_CASE("Weights that the memory cannot hold are refused before it is asked for", "[setup]") {
  Config config = config_on("");
  config.cache = {};
  config.model.init = tiny_shape();
  config.model.init.vocab_size = int64_t{1} << 24;
  config.model.init.hidden_size = int64_t{1} << 20;
  config.model.init.head_dim = 8;
  const std::string line = user_error_of([&] { prepare_model(config, torch::kCPU); });
  CHECK_CONTAINS(line, "model: its weights need 1310");
  CHECK_CONTAINS(line, " of memory; use a smaller model");
}

}  // namespace lococo::testing
