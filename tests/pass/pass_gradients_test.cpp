// Gradients of the passes: blocks against the whole sequence, batches against single sequences,
// and against differences.
#include "lococo/step_plan.h"
#include "model/registry.h"
#include "pass/loss.h"
#include "pass/sequence_pass.h"
#include "tensor/kit/torch.h"
#include "tests/pass/train_once.h"
#include "tests/support/catch.h"
#include "tests/support/gradcheck.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

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
