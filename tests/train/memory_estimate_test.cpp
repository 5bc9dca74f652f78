#include "train/memory_estimate.h"

#include "tests/support/catch.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

MemoryEstimate estimate(const Config& config) {
  Llama model(tiny_shape(), config.cache, config.attention);
  return estimate_memory(config, tiny_shape(), classify_parameters(model, config.tune, 0.0));
}

Config blockwise_config() {
  Config config;
  config.cache = tiny_cache();
  config.tune.conv = 1.0;
  config.data.context_length = 64;
  return config;
}

}  // namespace

TEST_CASE("weights, gradients and moments are counted to the byte", "[train]") {
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
}

TEST_CASE("the cache is counted as it is: keys, values and scores of slots and block", "[train]") {
  const auto config = blockwise_config();
  const auto shape = tiny_shape();
  const int64_t slots = config.cache.slots + config.cache.block;
  CHECK(estimate(config).cache_bytes ==
        shape.num_layers * shape.num_kv_heads * slots * (2 * shape.head_dim * 4 + 4));
}

TEST_CASE("blockwise memory does not grow with the context, full-sequence memory does", "[train]") {
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

TEST_CASE("activation checkpointing and a smaller micro-batch need less", "[train]") {
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

TEST_CASE("the printed estimate has a line for each part and their total", "[train]") {
  MemoryEstimate result;
  result.weights_bytes = int64_t{3} << 30;
  result.cache_bytes = int64_t{1} << 29;
  const auto text = result.text();
  CHECK_CONTAINS(text, "weights      3.00 GiB");
  CHECK_CONTAINS(text, "cache        0.50 GiB");
  CHECK_CONTAINS(text, "total        3.50 GiB");
}
