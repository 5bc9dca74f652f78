#include "setup/memory_check.h"

#include "config/config_yaml.h"
#include "model/parameter_list.h"
#include "setup/memory_estimate.h"
#include "tests/support/catch.h"
#include "tests/support/user_error.h"

using namespace lococo;

namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

/// Teaching a memory of LLaMA-2 7B's shape; no memory is asked for.
struct Teaching {
  explicit Teaching(int64_t tokens)
      : config(load_config(LOCOCO_SOURCE_DIR "/configs/llama2_7b_memory.yaml",
                           {"model.path=''", "model.init.vocab_size=32000",
                            "data.context_length=" + std::to_string(tokens)})) {
    shape.vocab_size = 32000;
    shape.hidden_size = 4096;
    shape.intermediate_size = 11008;
    shape.num_layers = 32;
    shape.num_heads = 32;
    shape.resolve_defaults();
    parameters = classify_parameters(
        list_parameters(shape, config.cache, {config.tune.lora_rank, config.tune.lora_targets}),
        config.tune, 0.0);
  }
  std::string warning(int64_t there) const {
    return memory_warning({config, shape, parameters}, there, "cuda:0");
  }

  Config config;
  ModelShape shape;
  std::vector<RegisteredParameter> parameters;
};

}  // namespace

TEST_CASE("teaching that does not fit says which length does", "[setup]") {
  const Teaching teaching(32768);
  const int64_t there = 80 * kGiB;
  const int64_t fits =
      longest_context({teaching.config, teaching.shape, teaching.parameters}, there);
  CHECK(fits > 1024);
  CHECK(fits % 256 == 0);
  CHECK(estimate_memory({Teaching(fits).config, teaching.shape, teaching.parameters}).total() <=
        there);
  CHECK(
      estimate_memory({Teaching(fits + 256).config, teaching.shape, teaching.parameters}).total() >
      there);
  const auto text = teaching.warning(there);
  CHECK_CONTAINS(text, "whole sequences");
  CHECK_CONTAINS(text, "data.context_length: " + std::to_string(fits) + " fits");
  CHECK(Teaching(fits).warning(there).empty());
}

TEST_CASE("no length is named where the weights alone are too much", "[setup]") {
  const auto text = Teaching(4096).warning(8 * kGiB);
  CHECK_CONTAINS(text, "cuda:0 has 8.0 GiB");
  CHECK(text.find("fits") == std::string::npos);
}

TEST_CASE("only what is not done yet is advised against too little memory", "[setup]") {
  Teaching teaching(4096);
  Config& config = teaching.config;
  config.train.pass = PassKind::kFullSequence;
  config.cache = {};
  config.tune.retention.reset();
  config.train.micro_batch = 4;
  config.model.dtype = DType::kFloat32;
  config.train.activation_checkpointing = false;
  config.model.base_precision = BasePrecision::kAuto;
  for (const char* const advice : {"train.micro_batch: 1", "train.activation_checkpointing: true",
                                   "model.dtype: bfloat16", "model.base_precision: nf4"})
    CHECK_CONTAINS(teaching.warning(8 * kGiB), advice);
  const auto lacks = [&](const std::string& part) {
    return teaching.warning(kGiB).find(part) == std::string::npos;
  };
  CHECK(lacks("recompute_attention"));  // without activation_checkpointing it changes nothing
  CHECK(lacks("distributed.shard_optimizer"));  // of one rank it changes nothing
  config.train.activation_checkpointing = true;
  CHECK(lacks("activation_checkpointing"));
  CHECK_CONTAINS(teaching.warning(kGiB), "train.recompute_attention: true");
  config.train.recompute_attention = true;
  CHECK(lacks("recompute_attention"));
  config.model.dtype = DType::kBFloat16;
  CHECK(lacks("bfloat16"));
  config.train.micro_batch = 1;
  CHECK(lacks("micro_batch"));
  config.model.base_precision = BasePrecision::kNf4;
  config.train.loss_chunk = 256;
  CHECK_CONTAINS(teaching.warning(kGiB), "use a smaller model or more devices");
}

TEST_CASE("memory that is not known is not warned about", "[setup]") {
  CHECK(Teaching(32768).warning(0).empty());
}
