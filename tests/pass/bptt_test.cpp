// Windows of several blocks beside the blockwise pass and each other.
#include "model/registry.h"
#include "pass/bptt_windows.h"
#include "pass/sequence_pass.h"
#include "tensor/kit/torch.h"
#include "tests/pass/train_once.h"
#include "tests/support/catch.h"
#include "tests/support/memory_meter.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

struct Trained {
  PassResult result;
  TensorMap gradients;
};

Trained train_once(Llama model, CacheConfig cache, int64_t window, const torch::Tensor& tokens_BT,
                   const TuneConfig& tune) {
  cache.bptt_blocks = window;
  const ParameterRegistry registry(model, tune, 0.0, torch::kFloat32);
  Trained trained;
  trained.result = train_in_windows(model, {tokens_BT}, cache, kLossChunk);
  for (const auto& parameter : registry.all()) {
    if (parameter.tensor.grad().defined())
      trained.gradients[parameter.name] = parameter.tensor.grad();
  }
  return trained;
}

}  // namespace

TEST_CASE("windows of one block have the gradients of the blockwise pass", "[pass]") {
  auto cache = tiny_cache();
  cache.keys = GENERATE(KeyKind::kRotated, KeyKind::kUnrotated);
  cache.first_block_gradient = GENERATE(false, true);
  cache.mix_keys = GENERATE(true, false);
  const auto tokens = random_tokens(2, 30, 1);  // the last block is shorter
  const auto windows =
      train_once(tiny_llama(3, cache), cache, /*window=*/1, tokens, tune_all_parts());

  auto model = tiny_llama(3, cache);
  const ParameterRegistry registry(model, tune_all_parts(), 0.0, torch::kFloat32);
  const auto result = make_blockwise_pass(cache, kLossChunk)->train(model, {tokens});
  CHECK_SAME(windows.result.loss_sum, result.loss_sum);
  CHECK(windows.result.targets == result.targets);
  REQUIRE(windows.gradients.size() == registry.all().size());
  for (const auto& parameter : registry.all()) {
    INFO(parameter.name);
    CHECK_SAME(windows.gradients.at(parameter.name), parameter.tensor.grad());
  }
}

TEST_CASE("windows run with every policy, and their gradients cross its cache", "[pass]") {
  for (const auto& policy_case : all_policies()) {
    INFO(policy_case.name);
    const auto& cache = policy_case.cache;
    const auto tokens = random_tokens(2, 3 * (cache.slots + cache.block), 1);
    const auto one = train_once(tiny_llama(3, cache), cache, 1, tokens, tune_all_parts());
    const auto two = train_once(tiny_llama(3, cache), cache, 2, tokens, tune_all_parts());
    CHECK(two.result.targets == one.result.targets);
    auto blockwise = tiny_llama(3, cache);
    const ParameterRegistry of_blockwise(blockwise, tune_all_parts(), 0.0, torch::kFloat32);
    make_blockwise_pass(cache, kLossChunk)->train(blockwise, {tokens});
    for (const auto& parameter : of_blockwise.all()) {
      INFO(parameter.name);
      if (one.gradients.count(parameter.name) > 0)
        CHECK_SAME(one.gradients.at(parameter.name), parameter.tensor.grad());
    }
    // Sinks are of the first block, which is not trained here.
    if (cache.sinks == cache.slots) continue;
    const std::string embed = "model.embed_tokens.weight";
    const auto change =
        (two.gradients.at(embed) - one.gradients.at(embed)).abs().max().item<double>();
    CHECK(change > 1e-3 * one.gradients.at(embed).abs().max().item<double>());
  }
}

TEST_CASE("the pass takes windows from the cache's options", "[pass]") {
  auto cache = tiny_cache();
  const auto tokens = random_tokens(2, 41, 1);
  const auto one = train_once(tiny_llama(3, cache), cache, 1, tokens, tune_all_parts());
  const auto two = train_once(tiny_llama(3, cache), cache, 2, tokens, tune_all_parts());
  CHECK_SAME(two.result.loss_sum.round(), one.result.loss_sum.round());  // summed in another order
  CHECK(two.result.targets == one.result.targets);
  const std::string conv = "model.layers.1.self_attn.memory_saver.layers.0.weight";
  const auto change = (two.gradients.at(conv) - one.gradients.at(conv)).abs().max().item<double>();
  CHECK(change > 1e-2 * one.gradients.at(conv).abs().max().item<double>());

  cache.bptt_blocks = 2;
  auto model = tiny_llama(3, cache);
  const ParameterRegistry registry(model, tune_all_parts(), 0.0, torch::kFloat32);
  make_blockwise_pass(cache, kLossChunk)->train(model, {tokens});
  for (const auto& parameter : registry.all()) {
    INFO(parameter.name);
    CHECK_SAME(parameter.tensor.grad(), two.gradients.at(parameter.name));
  }
}

TEST_CASE("with only the convolutions in training windows give nothing else a gradient", "[pass]") {
  auto cache = tiny_cache();
  TuneConfig tune;
  tune.conv = 1.0;
  const auto tokens = random_tokens(2, 42, 1);  // the last block is one token without a target
  for (const int64_t window : {2, 3, 6}) {
    INFO(window);
    const auto trained = train_once(tiny_llama(3, cache), cache, window, tokens, tune);
    CHECK(trained.gradients.size() == 6);  // weight, bias and normalizer of two layers
    for (const auto& [name, gradient] : trained.gradients) {
      INFO(name);
      CHECK(name.find("memory_saver") != std::string::npos);
      CHECK(gradient.abs().max().item<double>() > 0);
    }
  }
}

TEST_CASE("a window's memory grows by its cache states and by no activations", "[pass]") {
  auto cache = tiny_cache();
  cache.block = 32;
  const auto shape = tiny_shape();
  const int64_t B = 2, blocks = 16, S = cache.slots + cache.block;
  const auto peak_of = [&](int64_t window, int64_t length) {
    auto model = tiny_llama(3, cache);
    const ParameterRegistry registry(model, tune_all_parts(), 0.0, torch::kFloat32);
    const auto tokens = random_tokens(B, length * cache.block + 1, 1);
    auto options = cache;
    options.bptt_blocks = window;
    train_in_windows(model, {tokens}, options, kLossChunk);  // gradients exist from here on
    const MemoryMeter meter;
    train_in_windows(model, {tokens}, options, kLossChunk);
    return meter.peak_bytes();
  };
  const int64_t state = shape.num_layers * B * shape.num_kv_heads * S * (2 * shape.head_dim + 1) *
                        static_cast<int64_t>(sizeof(float));
  const auto one = peak_of(1, blocks), two = peak_of(2, blocks), four = peak_of(4, blocks),
             eight = peak_of(8, blocks);
  REQUIRE(one > 8 * state);                   // of which most are a block's activations
  CHECK(two - one <= 3 * state + state / 2);  // one more, and two gradients of a state
  CHECK(four - two <= 2 * state + state / 2);
  CHECK(eight - four <= 4 * state + state / 2);
  const auto longer = peak_of(4, 4 * blocks);
  CHECK(static_cast<double>(longer) <= 1.05 * static_cast<double>(four));
}
