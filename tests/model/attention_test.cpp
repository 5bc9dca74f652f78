// One attention layer with its cache: what it stores, what it scores and where gradients go.
#include "model/attention.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// A layer with random weights that runs a plan over random hidden states.
struct Runner {
  explicit Runner(const CacheConfig& cache_config) : cache(cache_config) {
    const torch::NoGradGuard no_grad;
    uint64_t seed = 1;
    for (auto* projection : {&layer->q_proj, &layer->k_proj, &layer->v_proj, &layer->o_proj}) {
      (*projection)->weight.copy_(normal((*projection)->weight.sizes(), seed++) * 0.3);
    }
  }

  torch::Tensor run(const BlockStep& step, CacheState& state) {
    AttentionInput input;
    input.step = step;
    const Rope rope(shape);
    if (cache.keys == KeyKind::kRotated) {
      input.queries = input.keys = rope.table(step.begin, step.end, torch::kCPU);
    } else {
      input.keys = rope.table(0, step.attended(), torch::kCPU);
      input.queries = input.keys.narrow(step.attended() - step.length(), step.length());
    }
    return layer->forward(hidden_BLE.slice(1, step.begin, step.end), input, &state);
  }

  ModelShape shape = tiny_shape();
  CacheConfig cache;
  SelfAttention layer = SelfAttention(shape, cache, AttentionBackend::kAuto, /*init_seed=*/1);
  torch::Tensor hidden_BLE = normal({2, 40, tiny_shape().hidden_size}, 8);
};

CacheConfig h2o(ScoreKind scores, int64_t slots = 100) {
  auto cache = tiny_cache();
  cache.policy = CachePolicyKind::kH2o;
  cache.scores = scores;
  cache.slots = slots;
  return cache;
}

}  // namespace

TEST_CASE("accumulated scores add up to the queries times the query heads of a group", "[model]") {
  Runner runner(h2o(ScoreKind::kAccumulated));
  CacheState state;
  for (const auto& step : make_step_plan(runner.cache, 37)) {
    runner.run(step, state);
    const auto total_BG = state.mass_BGS.sum(-1);
    const int64_t heads = runner.shape.num_heads / runner.shape.num_kv_heads;
    CHECK_CLOSE(total_BG,
                torch::full({2, runner.shape.num_kv_heads}, static_cast<double>(step.end * heads)));
  }
}

TEST_CASE("scores of the last block forget the blocks before", "[model]") {
  Runner last(h2o(ScoreKind::kLastBlock)), sum(h2o(ScoreKind::kAccumulated));
  CacheState last_state, sum_state;
  torch::Tensor expected;  // the sum over blocks, each block's scores padded to the new size
  for (const auto& step : make_step_plan(last.cache, 37)) {
    last.run(step, last_state);
    sum.run(step, sum_state);
    CHECK_CLOSE(last_state.mass_BGS.sum(-1),
                torch::full({2, 2}, static_cast<double>(2 * step.length())));
    auto total = last_state.mass_BGS.clone();
    if (expected.defined()) total.narrow(2, 0, expected.size(2)) += expected;
    expected = total;
    CHECK_CLOSE(sum_state.mass_BGS, expected);
  }
}

TEST_CASE("the cache after a block is detached and as large as the plan says", "[model]") {
  auto cache = tiny_cache();
  cache.keys = GENERATE(KeyKind::kRotated, KeyKind::kUnrotated);
  Runner runner(cache);
  CacheState state;
  for (const auto& step : make_step_plan(cache, 37)) {
    const auto out_BLE = runner.run(step, state);
    CHECK(out_BLE.requires_grad());
    CHECK(state.size() == step.attended());
    CHECK(state.mass_BGS.size(2) == step.attended());
    for (const auto& tensor : {state.k_BGSD, state.v_BGSD, state.mass_BGS})
      CHECK_FALSE(tensor.requires_grad());
  }
}

TEST_CASE("rotated keys are cached after RoPE, unrotated ones before it", "[model]") {
  const auto keys = GENERATE(KeyKind::kRotated, KeyKind::kUnrotated);
  auto cache = tiny_cache();
  cache.keys = keys;
  Runner runner(cache);
  CacheState state;
  const auto step = make_step_plan(cache, 8)[0];
  runner.run(step, state);
  const auto& shape = runner.shape;
  const auto projected = at::linear(runner.hidden_BLE.narrow(1, 0, 8), runner.layer->k_proj->weight)
                             .view({2, 8, shape.num_kv_heads, shape.head_dim})
                             .transpose(1, 2);
  const auto turned = apply_rope(projected, Rope(shape).table(0, 8, torch::kCPU));
  CHECK_CLOSE(state.k_BGSD, keys == KeyKind::kRotated ? turned : projected);
}

TEST_CASE("the official first block gives its keys and values no gradient; an option gives it",
          "[model]") {
  const bool first_block_gradient = GENERATE(false, true);
  auto cache = tiny_cache();
  cache.first_block_gradient = first_block_gradient;
  Runner runner(cache);
  CacheState state;
  runner.run(make_step_plan(cache, 8)[0], state).square().sum().backward();
  CHECK(runner.layer->q_proj->weight.grad().defined());
  CHECK(runner.layer->o_proj->weight.grad().defined());
  CHECK(runner.layer->k_proj->weight.grad().defined() == first_block_gradient);
  CHECK(runner.layer->v_proj->weight.grad().defined() == first_block_gradient);
}

TEST_CASE("later blocks give their own keys and values a gradient", "[model]") {
  Runner runner(tiny_cache());
  CacheState state;
  const auto plan = make_step_plan(runner.cache, 16);
  runner.run(plan[0], state);
  runner.run(plan[1], state).square().sum().backward();
  CHECK(runner.layer->k_proj->weight.grad().abs().sum().item<double>() > 0);
  CHECK(runner.layer->v_proj->weight.grad().abs().sum().item<double>() > 0);
}

TEST_CASE("the convolution gets its gradient from blocks that follow a compression only",
          "[model]") {
  Runner runner(tiny_cache());
  CacheState state;
  for (const auto& step : make_step_plan(runner.cache, 32)) {
    for (auto& parameter : runner.layer->memory_saver->parameters())
      parameter.mutable_grad() = torch::Tensor();
    runner.run(step, state).square().sum().backward();
    for (const auto& item : runner.layer->memory_saver->named_parameters()) {
      INFO(item.key() << " at " << step.begin);
      REQUIRE(item.value().grad().defined() == step.compress);
      if (step.compress) CHECK(item.value().grad().abs().sum().item<double>() > 0);
    }
  }
}

TEST_CASE("a cache that does not match the plan is refused", "[model]") {
  Runner runner(tiny_cache());
  CacheState state;
  const auto plan = make_step_plan(runner.cache, 16);
  CHECK_THROWS_AS(runner.run(plan[1], state), c10::Error);
}
