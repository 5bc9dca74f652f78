#include "pass/stage_runner.h"

#include "tests/pass/train_once.h"
#include "tests/support/policies.h"
#include "tests/support/stage_chain.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

ModelShape four_layers(bool tied = false) {
  auto shape = tiny_shape();
  shape.num_layers = 4;
  shape.tie_word_embeddings = tied;
  return shape;
}

StageOptions options_of(const CacheConfig& cache, bool train) {
  return {cache, kLossChunk, train, /*cuda_graphs=*/false};
}

std::vector<PolicyCase> cases() {
  auto cases = all_policies();
  cases.push_back({"none", uncompressed(6)});
  return cases;
}

/// Trains everything, the gates apart, which get no gradient from blocks.
TuneConfig tune_of(const CacheConfig& cache) {
  TuneConfig tune;
  tune.all = 1.0;
  if (cache.has_convs()) tune.conv = 1.0;
  return tune;
}

/// What the whole model makes of the same batch.
Outcome by_the_whole(Llama model, const CacheConfig& cache, const TuneConfig& tune,
                     const Batch& batch) {
  const ParameterRegistry registry(model, tune, 0.0, torch::kFloat32);
  for (auto& parameter : registry.trainable())
    parameter.tensor.mutable_grad() = torch::zeros_like(parameter.tensor.detach());
  Outcome outcome;
  outcome.result = make_blockwise_pass(cache, kLossChunk)->train(model, batch);
  for (const auto& parameter : registry.trainable())
    outcome.gradients[parameter.name] = parameter.tensor.grad();
  return outcome;
}

}  // namespace

TEST_CASE("stages with blocks in flight have the gradients of the whole model, for every policy",
          "[pass]") {
  for (const auto& policy_case : cases()) {
    INFO(policy_case.name);
    const CacheConfig& cache = policy_case.cache;
    const Batch batch = {random_tokens(2, 8 * cache.block + 4, 1)};
    const auto tune = tune_of(cache);
    for (const auto& layers : std::vector<std::vector<int64_t>>{{2, 2}, {1, 1, 2}, {4}}) {
      INFO(layers.size() << " stages");
      auto model = tiny_llama(3, cache, four_layers());
      StageChain chain(model, layers, tune, options_of(cache, /*train=*/true));
      const auto loss = chain.train(batch);
      const auto again = chain.train(batch);  // on the same buffers, gradients are added
      const auto whole = by_the_whole(model, cache, tune, batch);
      CHECK_CLOSE(loss, whole.result.loss_sum, kThroughModel);
      CHECK_SAME(again, loss);
      const auto gradients = chain.gradients();
      REQUIRE(gradients.size() == whole.gradients.size());
      for (const auto& [name, gradient] : whole.gradients) {
        INFO(name);
        CHECK_CLOSE(gradients.at(name) / 2, gradient, kThroughModel);
      }
    }
  }
}

TEST_CASE("documents begin anew in every stage", "[pass]") {
  const auto cache = tiny_cache();
  Batch batch = {random_tokens(1, 41, 1)};
  Documents documents;
  documents.rows = {{{0, 23}, {23, 36}}};
  batch.documents = std::make_shared<const Documents>(std::move(documents));
  auto model = tiny_llama(3, cache, four_layers());
  const auto tune = tune_of(cache);
  StageChain chain(model, {1, 3}, tune, options_of(cache, /*train=*/true));
  const auto loss = chain.train(batch);
  const auto whole = by_the_whole(model, cache, tune, batch);
  CHECK_CLOSE(loss, whole.result.loss_sum, kThroughModel);
  check_gradients(chain.gradients(), whole.gradients);
}

TEST_CASE("a stage that nothing is trained before sends gradients all the same", "[pass]") {
  const auto cache = tiny_cache();
  const Batch batch = {random_tokens(2, 41, 1)};
  TuneConfig tune;
  tune.conv = 1.0;  // the first blocks depend on no trained parameter
  auto model = tiny_llama(3, cache, four_layers());
  StageChain chain(model, {2, 2}, tune, options_of(cache, /*train=*/true));
  const auto loss = chain.train(batch);
  const auto whole = by_the_whole(model, cache, tune, batch);
  CHECK_CLOSE(loss, whole.result.loss_sum, kThroughModel);
  check_gradients(chain.gradients(), whole.gradients);
}

TEST_CASE("the last stage of a model with a tied embedding scores with a copy of it", "[pass]") {
  const auto cache = tiny_cache();
  const auto tokens = random_tokens(2, 35, 1);
  auto model = tiny_llama(3, cache, four_layers(/*tied=*/true));
  StageChain chain(model, {2, 2}, TuneConfig(), options_of(cache, /*train=*/false));
  CHECK_CLOSE(chain.evaluate(tokens),
              make_blockwise_pass(cache, kLossChunk)->evaluate(model, tokens), kThroughModel);
}

TEST_CASE("stages score what the whole model scores, for every policy", "[pass]") {
  for (const auto& policy_case : cases()) {
    INFO(policy_case.name);
    const CacheConfig& cache = policy_case.cache;
    auto model = tiny_llama(3, cache, four_layers());
    const auto pass = make_blockwise_pass(cache, kLossChunk);
    StageChain chain(model, {1, 3}, TuneConfig(), options_of(cache, /*train=*/false));
    for (const int64_t length : {5 * cache.block + 3, 2 * cache.block + 1}) {
      const auto tokens = random_tokens(2, length, 2);
      CHECK_CLOSE(chain.evaluate(tokens), pass->evaluate(model, tokens), kThroughModel);
    }
  }
}
