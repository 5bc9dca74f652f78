#include "pass/teaching_pass.h"

#include <torch/optim/adam.h>

#include <cmath>
#include <set>

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/tensors.h"
#include "tests/support/tiny_llama.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// Scores that differ clearly, so that a finite temperature decides like the hard choice.
Llama opinionated_llama(const CacheConfig& cache) {
  auto model = tiny_llama(3, cache);
  perturb(model, "retention", 8.0, 7);
  return model;
}

}  // namespace

TEST_CASE("without a temperature the soft cache is the compressed cache", "[pass]") {
  const int64_t slots = GENERATE(8, 11), block = GENERATE(4, 8);
  const double alone_fraction = GENERATE(1.0, 0.5, 0.0);
  CAPTURE(slots, block, alone_fraction);
  const auto cache = taught_memory(slots, block, alone_fraction);
  auto model = opinionated_llama(cache);
  torch::NoGradGuard no_grad;
  const auto tokens = distinct_tokens(2, 45, 5);
  const auto hard = blockwise_hidden(model, tokens);
  const auto soft = model->forward_softly(tokens, soft_form(cache, 1e-5));
  CHECK_CLOSE(soft, hard, /*factor=*/50.0);
  // The choice matters: with all tokens the hidden states are others.
  CHECK((model->forward(tokens) - hard).abs().max().item<double>() > 1e-3);
}

TEST_CASE("the soft cache sees nothing of what comes later", "[pass]") {
  const auto cache = taught_memory(8, 4, 0.5);
  auto model = opinionated_llama(cache);
  torch::NoGradGuard no_grad;
  auto tokens = random_tokens(1, 40, 5);
  const auto before = model->forward_softly(tokens, soft_form(cache, 0.5));
  tokens.narrow(1, 30, 10).copy_(random_tokens(1, 10, 6));
  const auto after = model->forward_softly(tokens, soft_form(cache, 0.5));
  CHECK_CLOSE(after.narrow(1, 0, 30), before.narrow(1, 0, 30));
  CHECK_FALSE(torch::allclose(after.narrow(1, 30, 10), before.narrow(1, 30, 10)));
}

TEST_CASE("a cache that never fills is full attention", "[pass]") {
  const auto cache = taught_memory(64, 8, 0.5);
  auto model = opinionated_llama(cache);
  torch::NoGradGuard no_grad;
  const auto tokens = random_tokens(2, 40, 5);
  CHECK_CLOSE(model->forward_softly(tokens, soft_form(cache, 0.1)), model->forward(tokens),
              /*factor=*/20.0);
}

TEST_CASE("the gradient of the soft cache reaches every part of the gates", "[pass]") {
  const auto cache = taught_memory(8, 4, 0.5);
  auto model = tiny_llama(3, cache);
  const auto hidden = model->forward_softly(random_tokens(2, 40, 5), soft_form(cache, 0.5));
  hidden.square().sum().backward();
  int64_t gates = 0;
  for (const auto& item : model->named_parameters()) {
    if (item.key().find("retention") == std::string::npos) continue;
    INFO(item.key());
    // What the last layer keeps is seen by its own later queries, so all layers learn. A constant
    // added to every score changes nothing: the budget takes it out.
    REQUIRE(item.value().grad().defined());
    const bool is_constant = item.key().ends_with("out_bias");
    const double size = item.value().grad().abs().max().item<double>();
    CHECK((is_constant ? size < 1e-3 : size > 0.0));
    ++gates;
  }
  CHECK(gates > 0);
}

TEST_CASE("a step draws its slots, and the choice hardens over the run", "[pass]") {
  Config config;
  config.cache = taught_memory(512, 512, 0.5);
  config.cache.local = 96;
  config.train.steps = 101;
  CHECK(soft_cache_of_step(config, 0).keep.temperature == Approx(0.5));
  CHECK(soft_cache_of_step(config, 50).keep.temperature == Approx(std::sqrt(0.5 * 0.05)));
  CHECK(soft_cache_of_step(config, 100).keep.temperature == Approx(0.05));
  std::set<int64_t> seen;
  for (int64_t step = 0; step < 50; ++step) {
    const auto soft = soft_cache_of_step(config, step);
    seen.insert(soft.slots());
    CHECK(soft.block == soft.slots());
    CHECK(soft.keep.local == 96 * soft.slots() / 512);
    CHECK(std::abs(soft.keep.alone - soft.keep.massed) <= 1);
  }
  CHECK(seen == std::set<int64_t>{128, 256, 512});
}

TEST_CASE("far repeats and answers of a row weigh more, ignored targets nothing", "[pass]") {
  const auto kinds = torch::tensor({{0, 1, 2, 3, 1, 1}, {1, 1, 0, 0, 0, 0}}, torch::kUInt8);
  // Five count in the first row: mean over 1 + 4 + 1 + 1 + 1 = 8, and 0.3 for the one answer.
  CHECK_CLOSE(
      teaching_weights(kinds, TeachConfig{}),
      torch::tensor({{0.0, 0.625, 2.5, 2.125, 0.625, 0.625}, {1.0, 1.0, 0.0, 0.0, 0.0, 0.0}})
          .to(torch::kFloat32));
}

TEST_CASE("a step of teaching is the same however it is divided into micro-batches", "[pass]") {
  Config config;
  config.cache = taught_memory(12, 6, 0.5);
  config.teach.slots = {12};
  const auto tokens = random_tokens(4, 41, 5);
  // Rows of other lengths and with as many answers as they like: 1 text, 2 far, 3 answer, 0 none.
  auto kinds = torch::ones({4, 40}, torch::kUInt8);
  kinds.slice(/*dim=*/1, 10, 20).fill_(2);
  kinds[1].slice(/*dim=*/0, 30, 33).fill_(3);
  kinds[2].slice(/*dim=*/0, 20, 21).fill_(3);
  kinds[2].slice(/*dim=*/0, 21).fill_(0);
  struct Step {
    double loss = 0;
    int64_t targets = 0;
    torch::Tensor gradients;
  };
  const auto step_by = [&](int64_t rows) {
    auto model = opinionated_llama(config.cache);
    const auto pass = make_teaching_pass(config);
    Step step;
    for (int64_t row = 0; row < 4; row += rows) {
      const auto result =
          pass->train(model, {tokens.narrow(0, row, rows), kinds.narrow(0, row, rows)});
      step.loss += result.loss_sum.item<double>();
      step.targets += result.targets;
    }
    std::vector<torch::Tensor> gradients;
    for (const auto& parameter : model->parameters())
      if (parameter.grad().defined()) gradients.push_back(parameter.grad().flatten());
    step.gradients = torch::cat(gradients);
    return step;
  };
  const Step whole = step_by(4);
  CHECK(whole.targets == 4 * 40 - 19);
  CHECK(whole.gradients.abs().max().item<double>() > 0.0);
  for (const int64_t rows : {1, 2}) {
    const Step parts = step_by(rows);
    CHECK(parts.targets == whole.targets);
    CHECK(parts.loss == Approx(whole.loss).epsilon(1e-5));
    CHECK_CLOSE(parts.gradients, whole.gradients, /*factor=*/20.0);
  }
}

TEST_CASE("answers alone have a share of truth", "[pass]") {
  const auto kinds = torch::tensor({0, 1, 2, 3}, torch::kUInt8);
  TeachConfig teach;
  teach.answer_truth = 0.25;
  CHECK_SAME(answer_truth(kinds, teach), torch::tensor({0.0F, 0.0F, 0.0F, 0.25F}));
  teach.answer_truth = 0.0;
  CHECK_FALSE(answer_truth(kinds, teach).defined());
}

TEST_CASE("teaching brings the compressed cache nearer to full attention", "[pass]") {
  Config config;
  config.cache = taught_memory(12, 6, 0.5);
  config.teach.slots = {12};
  config.train.steps = 30;
  config.tune.retention = 0.02;
  auto model = tiny_llama(3, config.cache);
  for (auto& item : model->named_parameters())
    item.value().set_requires_grad(item.key().find("retention") != std::string::npos);
  torch::optim::Adam optimizer(
      [&] {
        std::vector<torch::Tensor> trained;
        for (auto& parameter : model->parameters())
          if (parameter.requires_grad()) trained.push_back(parameter);
        return trained;
      }(),
      0.02);
  const auto pass = make_pass(config);
  CHECK(pass->wants_kinds());
  const auto tokens = random_tokens(4, 61, 5);
  double first = 0, last = 0;
  for (int64_t step = 0; step < 30; ++step) {
    pass->begin_step(0);  // one temperature, so that losses compare
    optimizer.zero_grad();
    const auto result = pass->train(model, {tokens});
    CHECK(result.targets == 4 * 60);
    optimizer.step();
    last = result.loss_sum.item<double>();
    if (step == 0) first = last;
  }
  CHECK(last < 0.9 * first);
  // The teacher left LoRA and weights alone, and evaluation is of the hard cache.
  CHECK(pass->evaluate(model, tokens).sizes() == at::IntArrayRef({4, 60}));
}
