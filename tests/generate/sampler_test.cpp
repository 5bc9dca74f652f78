#include "generate/sampler.h"

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/tensors.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("tokens are drawn as often as their probabilities say", "[model]") {
  const int64_t draws = 20000;
  const auto probabilities = torch::tensor({0.1, 0.4, 0.05, 0.3, 0.15});
  const auto logits_BV = (probabilities.log() * 2.0).unsqueeze(0);
  auto frequencies = [&](double top_p) {
    SamplingOptions options;
    options.temperature = 2.0;
    options.top_p = top_p;
    const Sampler sampler(options, 1, draws, torch::kCPU);
    auto count = torch::zeros({5});
    for (int64_t t = 0; t < draws; ++t) count[sampler.sample(logits_BV, t)[0]] += 1;
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
