#include "pass/sequence_pass.h"

#include "lococo/step_plan.h"
#include "model/registry.h"
#include "pass/loss.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/memory_meter.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t kLossChunk = 7;
// Two layers, norms and a head widen rounding differences of single precision.
constexpr double kThroughModel = 10.0;

CacheConfig uncompressed(int64_t block) {
  CacheConfig cache;  // policy none
  cache.block = block;
  cache.first_block_gradient = true;
  cache.boundary_targets = true;
  return cache;
}

struct Outcome {
  PassResult result;
  TensorMap gradients;
};

/// Gradients of one call of a pass on a model with all parts trained.
Outcome train_once(SequencePass& pass, Llama model, const Batch& batch) {
  const ParameterRegistry registry(model, tune_all_parts(), 0.0, torch::kFloat32);
  Outcome outcome;
  outcome.result = pass.train(model, batch);
  for (const auto& parameter : registry.trainable())
    outcome.gradients[parameter.name] = parameter.tensor.grad();
  return outcome;
}

void check_gradients(const TensorMap& got, const TensorMap& want) {
  REQUIRE(got.size() == want.size());
  for (const auto& [name, gradient] : want) {
    INFO(name);
    REQUIRE(gradient.defined() == got.at(name).defined());
    if (gradient.defined()) CHECK_CLOSE(got.at(name), gradient, kThroughModel);
  }
}

}  // namespace

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

TEST_CASE("one block without compression has the gradients of the whole sequence", "[pass]") {
  const auto tokens = random_tokens(2, 25, 1);
  const auto blockwise = train_once(*make_blockwise_pass(uncompressed(24), kLossChunk),
                                    tiny_llama(3, uncompressed(24)), {tokens});
  const auto full =
      train_once(*make_full_sequence_pass(kLossChunk, false), tiny_llama(3), {tokens});
  CHECK(blockwise.result.targets == 48);
  CHECK(full.result.targets == 48);
  CHECK_CLOSE(blockwise.result.loss_sum, full.result.loss_sum, kThroughModel);
  check_gradients(blockwise.gradients, full.gradients);
}

TEST_CASE("over several blocks gradients are truncated in time and exact everywhere else",
          "[pass]") {
  const auto tokens = random_tokens(2, 25, 1);
  const auto blockwise = train_once(*make_blockwise_pass(uncompressed(5), kLossChunk),
                                    tiny_llama(3, uncompressed(5)), {tokens});
  const auto full =
      train_once(*make_full_sequence_pass(kLossChunk, false), tiny_llama(3), {tokens});
  CHECK_CLOSE(blockwise.result.loss_sum, full.result.loss_sum, kThroughModel);
  // What the last layer computes for a token from that token alone; only keys and values are
  // cached.
  for (const char* name :
       {"lm_head.weight", "model.norm.weight", "model.layers.1.self_attn.q_proj.weight",
        "model.layers.1.self_attn.o_proj.weight", "model.layers.1.mlp.down_proj.weight"}) {
    INFO(name);
    CHECK_CLOSE(blockwise.gradients.at(name), full.gradients.at(name), kThroughModel);
  }
  const std::string cached = "model.layers.1.self_attn.v_proj.weight";
  CHECK((blockwise.gradients.at(cached) - full.gradients.at(cached)).abs().max().item<double>() >
        1e-2);
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

TEST_CASE("activation checkpointing changes no gradient of the full-sequence pass", "[pass]") {
  const auto tokens = random_tokens(2, 25, 1);
  const auto plain =
      train_once(*make_full_sequence_pass(kLossChunk, false), tiny_llama(3), {tokens});
  const auto recomputed =
      train_once(*make_full_sequence_pass(kLossChunk, true), tiny_llama(3), {tokens});
  for (const auto& [name, gradient] : plain.gradients) {
    INFO(name);
    // The two halves of a recomputed layer add their gradients up in another order.
    CHECK_CLOSE(recomputed.gradients.at(name), gradient, kThroughModel);
  }
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

TEST_CASE("with only the convolutions in training nothing else has a gradient", "[pass]") {
  for (const auto& policy_case : all_policies()) {
    if (!policy_case.cache.has_convs() || policy_case.cache.mixed_slots() == 0) continue;
    INFO(policy_case.name);
    auto model = tiny_llama(3, policy_case.cache);
    TuneConfig tune;
    tune.conv = 1.0;
    const ParameterRegistry registry(model, tune, 0.0, torch::kFloat32);
    make_blockwise_pass(policy_case.cache, kLossChunk)->train(model, {random_tokens(2, 35, 1)});
    for (const auto& parameter : registry.all()) {
      INFO(parameter.name);
      REQUIRE(parameter.tensor.grad().defined() == parameter.trainable);
      if (parameter.trainable) CHECK(torch::isfinite(parameter.tensor.grad()).all().item<bool>());
    }
    for (const auto& parameter : registry.trainable()) {
      // a normalizer of 0 shuts the kernels off until it has moved
      if (policy_case.cache.init == ConvInit::kIdentity && parameter.group == ParameterGroup::kConv)
        continue;
      INFO(parameter.name);
      CHECK(parameter.tensor.grad().abs().max().item<double>() > 0);
    }
  }
}

TEST_CASE("equal normalizers of the heads act as one of the layer, unequal ones do not", "[pass]") {
  auto cache = tiny_cache();
  const auto tokens = random_tokens(2, 35, 1);
  const auto pass = make_blockwise_pass(cache, kLossChunk);
  auto one = tiny_llama(3, cache);
  cache.normalizer_per_head = true;
  auto each = tiny_llama(3, cache);
  const auto want = pass->evaluate(one, tokens);
  CHECK_SAME(pass->evaluate(each, tokens), want);

  auto of_one = train_once(*pass, one, {tokens}).gradients;
  auto of_each = train_once(*pass, each, {tokens}).gradients;
  for (const char* name : {"model.layers.0.self_attn.memory_saver.normalizer",
                           "model.layers.1.self_attn.memory_saver.normalizer"}) {
    INFO(name);
    CHECK(of_each.at(name).sizes() == at::IntArrayRef({tiny_shape().num_kv_heads}));
    of_each.at(name) = of_each.at(name).sum(/*dim=*/0, /*keepdim=*/true);
  }
  check_gradients(of_each, of_one);

  perturb(each, "1.self_attn.memory_saver.normalizer", 0.2, 5);
  CHECK_FALSE(torch::equal(pass->evaluate(each, tokens), want));
}

TEST_CASE("a batch has the gradients of its sequences one after the other, in any order",
          "[pass]") {
  const bool blockwise = GENERATE(true, false);
  const auto pass = blockwise ? make_blockwise_pass(tiny_cache(), kLossChunk)
                              : make_full_sequence_pass(kLossChunk, false);
  const auto tokens = random_tokens(4, 35, 1);
  const auto together = train_once(*pass, tiny_llama(3, tiny_cache()), {tokens});
  const auto shuffled = train_once(*pass, tiny_llama(3, tiny_cache()),
                                   {tokens.index_select(0, torch::tensor({2, 0, 3, 1}))});
  check_gradients(shuffled.gradients, together.gradients);

  auto model = tiny_llama(3, tiny_cache());
  const ParameterRegistry registry(model, tune_all_parts(), 0.0, torch::kFloat32);
  int64_t targets = 0;
  for (const int64_t row : {3, 1, 0, 2})
    targets += pass->train(model, {tokens.narrow(0, row, 1)}).targets;
  CHECK(targets == together.result.targets);
  TensorMap one_by_one;
  for (const auto& parameter : registry.trainable())
    one_by_one[parameter.name] = parameter.tensor.grad();
  check_gradients(one_by_one, together.gradients);
}

TEST_CASE("the gradients of a block after a compression agree with differences", "[pass]") {
  auto cache = tiny_cache();
  cache.keys = GENERATE(KeyKind::kRotated, KeyKind::kUnrotated);
  cache.normalizer_per_head = GENERATE(false, true);
  cache.slots = cache.block = 4;
  auto shape = tiny_shape();
  shape.hidden_size = 8;
  shape.intermediate_size = 6;
  shape.num_heads = 2;
  shape.num_kv_heads = cache.normalizer_per_head ? 2 : 1;
  shape.head_dim = 4;
  auto model = tiny_llama(3, cache, shape);
  model->to(torch::kFloat64);
  model->set_compute_dtype(torch::kFloat64);
  const ParameterRegistry unused(model, TuneConfig{}, 0.0, torch::kFloat64);
  std::vector<torch::Tensor> inputs;
  for (auto& item : model->named_parameters()) {
    if (item.key().find("memory_saver") == std::string::npos &&
        item.key().find("layers.1.self_attn") == std::string::npos)
      continue;
    inputs.push_back(item.value().requires_grad_(true));
  }
  const auto tokens = random_tokens(2, 13, 1);
  const auto plan = make_step_plan(cache, 12);
  REQUIRE(plan[2].compress);
  auto caches = model->empty_caches();
  {
    const torch::NoGradGuard no_grad;
    for (int64_t i = 0; i < 2; ++i)
      model->forward_block(tokens.slice(1, plan[i].begin, plan[i].end), plan[i], caches);
  }
  auto loss = [&] {
    auto copy = caches;  // a block replaces its state, it does not write into it
    const auto hidden = model->forward_block(tokens.slice(1, 8, 12), plan[2], copy);
    return chunked_cross_entropy(hidden.reshape({8, 8}), model->head_weight(),
                                 tokens.slice(1, 9, 13).reshape({-1}), 3);
  };
  CHECK(gradient_error(loss, inputs) == "");
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
