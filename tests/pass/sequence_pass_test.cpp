#include "pass/sequence_pass.h"

#include "lococo/step_plan.h"
#include "model/registry.h"
#include "pass/loss.h"
#include "tensor/kit/torch.h"
#include "tests/pass/train_once.h"
#include "tests/support/catch.h"
#include "tests/support/memory_meter.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("blocks without compression score like the whole sequence", "[pass]") {
  const int64_t block = GENERATE(5, 8, 24, 64);
  auto model = tiny_llama(3, uncompressed(block));
  const auto tokens = random_tokens(2, 25, 1);
  const auto blockwise = make_blockwise_pass(uncompressed(block), kLossChunk);
  const auto full = make_full_sequence_pass(kLossChunk, false);
  const auto nll_BT = blockwise->evaluate(model, tokens);
  CHECK(nll_BT.sizes() == at::IntArrayRef({2, 24}));
  CHECK_CLOSE(nll_BT, full->evaluate(model, tokens), kThroughModel);
}

TEST_CASE("what a config asks to recompute reaches the pass", "[pass]") {
  Config config;
  config.train.activation_checkpointing = true;
  CHECK(whole_options(config).checkpoint_layers);
  CHECK_FALSE(whole_options(config).recompute_attention);
  config.train.recompute_attention = true;
  CHECK(whole_options(config).recompute_attention);
}

TEST_CASE("ignored targets count neither in the loss nor in the gradients", "[pass]") {
  const auto tokens = random_tokens(2, 25, 1);
  auto kinds_BT = torch::full({2, 24}, static_cast<int64_t>(TargetKind::kText), torch::kUInt8);
  kinds_BT[0][3] = static_cast<int64_t>(TargetKind::kFar);
  kinds_BT[1][7] = static_cast<int64_t>(TargetKind::kAnswer);
  const auto pass = make_full_sequence_pass(kLossChunk, false);
  const auto all = train_once(*pass, tiny_llama(3), {tokens});
  const auto none_ignored = train_once(*pass, tiny_llama(3), {tokens, kinds_BT});
  CHECK(none_ignored.result.targets == 48);
  CHECK(same_bits(none_ignored.gradients, all.gradients));

  // Inputs reach no target before them: a shorter batch has the gradients of what is left.
  kinds_BT.narrow(/*dim=*/1, 15, 9).zero_();
  const auto ignored = train_once(*pass, tiny_llama(3), {tokens, kinds_BT});
  const auto shorter = train_once(*pass, tiny_llama(3), {tokens.narrow(/*dim=*/1, 0, 16)});
  CHECK(ignored.result.targets == 30);
  CHECK_CLOSE(ignored.result.loss_sum, shorter.result.loss_sum, kThroughModel);
  check_gradients(ignored.gradients, shorter.gradients);
}

TEST_CASE("a loss against full attention takes no kinds of targets", "[pass]") {
  auto cache = tiny_cache();
  cache.distill = 1.0;
  const auto pass = make_blockwise_pass(cache, kLossChunk);
  auto model = tiny_llama(3, cache);
  const Batch batch = {random_tokens(2, 25, 1), torch::ones({2, 24}, torch::kUInt8)};
  CHECK_THROWS_AS(pass->train(model, batch), c10::Error);
}

TEST_CASE("a block's last query has a target only where boundary_targets asks for it", "[pass]") {
  auto cache = tiny_cache();                    // blocks of 8
  const auto tokens = random_tokens(2, 22, 1);  // 21 inputs: blocks of 8, 8 and 5
  for (const bool boundary : {false, true}) {
    cache.boundary_targets = boundary;
    auto model = tiny_llama(3, cache);
    const auto pass = make_blockwise_pass(cache, kLossChunk);
    const auto result = pass->train(model, {tokens});
    CHECK(result.targets == 2 * (boundary ? 21 : 18));
    auto nll_BT = pass->evaluate(model, tokens);
    if (!boundary) {
      for (const int64_t last : {7, 15, 20}) nll_BT.select(1, last).zero_();
    }
    CHECK_CLOSE(result.loss_sum, nll_BT.sum(), kThroughModel);
  }
}

TEST_CASE("a last block of a single token is run without a target", "[pass]") {
  auto model = tiny_llama(3, tiny_cache());
  const auto pass = make_blockwise_pass(tiny_cache(), kLossChunk);
  CHECK(pass->train(model, {random_tokens(1, 18, 1)}).targets == 7 + 7);
}

TEST_CASE("changing a token leaves the NLL of every target before it unchanged, for every policy",
          "[pass]") {
  auto cases = all_policies();
  cases.push_back({"none", uncompressed(6)});
  const int64_t T = 34;
  for (const auto& policy_case : cases) {
    INFO(policy_case.name);
    auto model = tiny_llama(3, policy_case.cache);
    const auto pass = make_blockwise_pass(policy_case.cache, kLossChunk);
    const auto tokens = random_tokens(1, T + 1, 1);
    const auto before = pass->evaluate(model, tokens);
    for (const int64_t t : {1, 9, 16, 33}) {
      auto changed = tokens.clone();
      changed[0][t] = (changed[0][t] + 1) % tiny_shape().vocab_size;
      const auto after = pass->evaluate(model, changed);
      // Target t - 1 is token t itself; the targets before it know nothing of it.
      CHECK_SAME(after.narrow(1, 0, t - 1), before.narrow(1, 0, t - 1));
      CHECK_FALSE(torch::equal(after[0][t - 1], before[0][t - 1]));
      if (t < T) CHECK_FALSE(torch::equal(after[0][t], before[0][t]));
    }
  }
}

TEST_CASE("changing a token leaves earlier NLLs of the full-sequence pass unchanged", "[pass]") {
  auto model = tiny_llama(3);
  const auto pass = make_full_sequence_pass(kLossChunk, false);
  const auto tokens = random_tokens(1, 35, 1);
  auto changed = tokens.clone();
  changed[0][20] = (changed[0][20] + 1) % tiny_shape().vocab_size;
  const auto before = pass->evaluate(model, tokens), after = pass->evaluate(model, changed);
  CHECK_SAME(after.narrow(1, 0, 19), before.narrow(1, 0, 19));
  CHECK_FALSE(torch::equal(after.narrow(1, 19, 15), before.narrow(1, 19, 15)));
}

TEST_CASE("the memory of the blockwise pass does not grow with the sequence", "[pass]") {
  const auto cache = tiny_cache();
  auto peak_of = [&](int64_t blocks) {
    auto model = tiny_llama(3, cache);
    const ParameterRegistry registry(model, tune_all_parts(), 0.0, torch::kFloat32);
    const auto tokens = random_tokens(2, blocks * cache.block + 1, 1);
    const auto pass = make_blockwise_pass(cache, kLossChunk);
    pass->train(model, {tokens});  // gradients exist from here on
    const MemoryMeter meter;
    pass->train(model, {tokens});
    return meter.peak_bytes();
  };
  const auto short_peak = peak_of(8), long_peak = peak_of(64);
  CHECK(short_peak > 0);
  CHECK(static_cast<double>(long_peak) <= 1.05 * static_cast<double>(short_peak));
}

TEST_CASE("scoring block after block keeps a few bytes for each token", "[pass]") {
  const auto cache = tiny_cache();
  auto model = tiny_llama(3, cache);
  auto peak_of = [&](int64_t blocks) {
    const auto tokens = random_tokens(2, blocks * cache.block + 1, 1);
    const auto pass = make_blockwise_pass(cache, kLossChunk);
    pass->evaluate(model, tokens);  // buffers exist from here on
    const MemoryMeter meter;
    pass->evaluate(model, tokens);
    return meter.peak_bytes();
  };
  const auto short_peak = peak_of(64), long_peak = peak_of(512);
  const auto tokens = static_cast<double>(2 * (512 - 64) * cache.block);
  // Each block's float32 NLL, and all of them joined.
  CHECK(static_cast<double>(long_peak - short_peak) <= 8 * tokens);
}

TEST_CASE("auto means blockwise where there is a cache policy", "[pass]") {
  Config config;
  CHECK_FALSE(is_blockwise(config));
  config.cache.policy = CachePolicyKind::kStreaming;
  CHECK(is_blockwise(config));
  config.train.pass = PassKind::kFullSequence;
  CHECK_FALSE(is_blockwise(config));
  config.cache.policy = CachePolicyKind::kNone;
  config.train.pass = PassKind::kBlockwise;
  CHECK(is_blockwise(config));
}

TEST_CASE("a pass trains through the pattern that it is given and evaluates densely", "[pass]") {
  auto model = tiny_llama(3);
  const auto tokens = random_tokens(2, 25, 1);
  PassPattern pattern;
  pattern.context_length = 24;
  const auto run = [&] {
    const auto pass = make_full_sequence_pass(kLossChunk, false, false, pattern);
    return std::pair(train_once(*pass, tiny_llama(3), {tokens}),
                     pass->evaluate(model, tokens).sum().item<double>());
  };
  const auto [full, full_nll] = run();
  // One group without a shift sees everything, whichever way it is computed.
  pattern.attention.pattern = PatternKind::kS2;
  pattern.attention.group_fraction = 1.0;
  pattern.attention.shift_fraction = 0.0;
  const auto [one, one_nll] = run();
  check_gradients(one.gradients, full.gradients);
  pattern.attention.group_fraction = 0.25;
  pattern.attention.shift_fraction = 1.0;
  const auto [segments, dense_nll] = run();
  const auto loss = [](const Outcome& outcome) { return outcome.result.loss_sum.item<double>(); };
  CHECK(std::abs(loss(segments) - loss(full)) > 1e-3);
  CHECK(dense_nll == full_nll);
  pattern.in_evaluation = true;
  CHECK(std::abs(run().second - loss(segments)) < 1e-2);
}
