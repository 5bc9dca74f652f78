#include "generate/sampler.h"

#include <ATen/CPUGeneratorImpl.h>

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("tokens are drawn as often as their probabilities say", "[generate]") {
  const int64_t draws = 20000;
  const auto probabilities = torch::tensor({0.1, 0.4, 0.05, 0.3, 0.15});
  const auto logits_BV = (probabilities.log() * 2.0).unsqueeze(0);
  auto frequencies = [&](double top_p) {
    SamplingOptions options;
    options.temperature = 2.0;
    options.top_p = top_p;
    Sampler sampler(options, 1, 5, torch::kCPU);
    auto count = torch::zeros({5});
    for (int64_t t = 0; t < draws; ++t) count[sampler.sample(logits_BV)[0]] += 1;
    return count / draws;
  };
  CHECK((frequencies(1.0) - probabilities).abs().max().item<double>() < 0.015);
  const auto nucleus = torch::tensor({0.0, 0.4, 0.0, 0.3, 0.15}) / 0.85;
  const auto got = frequencies(0.75);
  CHECK((got - nucleus).abs().max().item<double>() < 0.015);
  CHECK(got[0].item<double>() == 0.0);
  CHECK(got[2].item<double>() == 0.0);
  CHECK(frequencies(0.01)[1].item<double>() == 1.0);
}

namespace {

/// What tokens of two rows may be drawn with, by their ids.
torch::Tensor probabilities(const SamplingOptions& options) {
  const auto logits_BV = torch::tensor(
      {{2.0, -1.0, 0.5, 1.5, -0.25, 3.0, 0.0, -2.5}, {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8}});
  auto seen_BV = torch::zeros({2, 8}, torch::kBool);
  seen_BV.scatter_(1, torch::tensor({{5, 1, 0}, {7, 2, 2}}), true);
  const auto choices =
      token_choices(penalise_seen(logits_BV, seen_BV, options.repetition_penalty), options);
  return torch::zeros_like(logits_BV).scatter_(1, choices.token_BK, choices.probability_BK);
}

}  // namespace

TEST_CASE("penalty, temperature, top_k and top_p are those of transformers, in its order",
          "[generate]") {
  struct Case {
    double penalty, temperature;
    int64_t top_k;
    double top_p;
    std::vector<double> first, second;
  };
  // softmax of LogitsProcessorList([RepetitionPenaltyLogitsProcessor, TemperatureLogitsWarper,
  // TopKLogitsWarper, TopPLogitsWarper]) of transformers 4.57.1
  const std::vector<Case> cases = {
      {1.0,
       0.7,
       0,
       1.0,
       {0.1697047, 0.0023358, 0.0199096, 0.0830775, 0.0068194, 0.7081323, 0.0097466, 0.0002740},
       {0.0719033, 0.0829452, 0.0956826, 0.1103761, 0.1273261, 0.1468789, 0.1694343, 0.1954535}},
      {1.3,
       1.0,
       0,
       1.0,
       {0.2027393, 0.0118634, 0.0717695, 0.1950897, 0.0339015, 0.4375329, 0.0435304, 0.0035732},
       {0.0890339, 0.0983976, 0.1014723, 0.1201831, 0.1328229, 0.1467920, 0.1622303, 0.1490678}},
      {1.3,
       0.7,
       4,
       1.0,
       {0.1932650, 0, 0.0438400, 0.1829325, 0, 0.5799625, 0, 0},
       {0, 0, 0, 0, 0.2144323, 0.2473616, 0.2853477, 0.2528583}},
      {1.0,
       0.7,
       4,
       0.8,
       {0.1933214, 0, 0, 0, 0, 0.8066786, 0, 0},
       {0, 0, 0, 0, 0, 0.2870036, 0.3310773, 0.3819192}},
      {1.3,
       2.0,
       5,
       0.6,
       {0.2898549, 0, 0, 0.2843340, 0, 0.4258111, 0, 0},
       {0, 0, 0, 0, 0, 0.3269050, 0.3436657, 0.3294293}},
      {1.3,
       2.0,
       0,
       0.6,
       {0.2898549, 0, 0, 0.2843340, 0, 0.4258111, 0, 0},
       {0, 0, 0, 0.1840949, 0.1935337, 0.2034563, 0.2138878, 0.2050274}},
  };
  for (const auto& want : cases) {
    INFO("penalty " << want.penalty << " temperature " << want.temperature << " top_k "
                    << want.top_k << " top_p " << want.top_p);
    SamplingOptions options;
    options.repetition_penalty = want.penalty;
    options.temperature = want.temperature;
    options.top_k = want.top_k;
    options.top_p = want.top_p;
    const auto got = probabilities(options);
    const auto apart =
        (got - torch::stack({torch::tensor(want.first), torch::tensor(want.second)}));
    CHECK(apart.abs().max().item<double>() < 1e-6);
  }
}

TEST_CASE("more than all tokens are all, and one is the most probable", "[generate]") {
  const auto logits_BV = torch::randn({3, 20}, at::detail::createCPUGenerator(1));
  SamplingOptions options;
  options.temperature = 1.0;
  const auto all = token_choices(logits_BV, options);
  options.top_k = 100;
  CHECK_SAME(token_choices(logits_BV, options).probability_BK, all.probability_BK);
  options.top_k = 1;
  Sampler sampler(options, 3, 20, torch::kCPU);
  CHECK_SAME(sampler.sample(logits_BV), logits_BV.argmax(-1));
}

TEST_CASE("what was drawn counts as seen until it is forgotten", "[generate]") {
  SamplingOptions options;
  options.repetition_penalty = 4.0;
  Sampler sampler(options, 1, 4, torch::kCPU);
  const auto logits_BV = torch::tensor({{4.0, 3.0, 2.0, 1.5}});
  const auto drawn = [&] { return sampler.sample(logits_BV).item<int64_t>(); };
  sampler.see(0, torch::tensor({1, 1}));
  CHECK(drawn() == 0);
  CHECK(drawn() == 2);
  CHECK(drawn() == 3);
  CHECK(drawn() == 0);  // all are less likely now
  sampler.forget();
  CHECK(drawn() == 0);
  CHECK(drawn() == 1);
}

TEST_CASE("random numbers go on from one answer to the next", "[generate]") {
  const auto logits_BV = torch::zeros({1, 1000});
  SamplingOptions options;
  options.temperature = 1.0;
  const auto draws = [&](int64_t count) {
    Sampler sampler(options, 1, 1000, torch::kCPU);
    std::vector<torch::Tensor> tokens;
    for (int64_t t = 0; t < count; ++t) tokens.push_back(sampler.sample(logits_BV));
    return torch::cat(tokens);
  };
  CHECK_SAME(draws(3000).slice(0, 0, 16), draws(16));
  // Whenever new ones are made, too: none comes twice.
  const auto many = draws(3000);
  for (const int64_t later : {8, 1024, 2048})
    CHECK_FALSE(torch::equal(many.slice(0, 0, 8), many.slice(0, later, later + 8)));
}
