#include "generate/sampler.h"

#include <ATen/CPUGeneratorImpl.h>

namespace lococo {

Sampler::Sampler(const SamplingOptions& options, int64_t batch, int64_t draws, torch::Device device)
    : options_(options) {
  TORCH_CHECK(options.temperature >= 0 && options.top_p > 0 && options.top_p <= 1,
              "temperature=", options.temperature, " top_p=", options.top_p);
  if (options.temperature == 0) return;
  auto generator = at::detail::createCPUGenerator(options.seed);
  uniform_TB_ = torch::empty({draws, batch}, torch::kFloat32).uniform_(0.0, 1.0, generator);
  uniform_TB_ = uniform_TB_.to(device);
}

torch::Tensor Sampler::sample(const torch::Tensor& logits_BV, int64_t draw) const {
  torch::NoGradGuard no_grad;
  if (options_.temperature == 0) return logits_BV.argmax(/*dim=*/-1);
  const auto probabilities = torch::softmax(logits_BV / options_.temperature, /*dim=*/-1);
  auto [sorted_BV, order_BV] = probabilities.sort(/*stable=*/true, /*dim=*/-1, /*descending=*/true);
  const auto upto_BV = sorted_BV.cumsum(/*dim=*/-1);
  // A token belongs to the nucleus when those before it have not filled it: the first always does.
  const auto left_BV = upto_BV - sorted_BV >= options_.top_p;
  const auto mass_B1 = upto_BV.masked_fill(left_BV, 0.0).amax(/*dim=*/-1, /*keepdim=*/true);
  const auto target_B1 = uniform_TB_.select(/*dim=*/0, draw).unsqueeze(-1) * mass_B1;
  // The first token whose sum exceeds the target; rounding may leave none, then the last kept one.
  const auto passed_B1 = (upto_BV <= target_B1).sum(/*dim=*/-1, /*keepdim=*/true);
  const auto last_B1 = left_BV.logical_not().sum(/*dim=*/-1, /*keepdim=*/true) - 1;
  return order_BV.gather(/*dim=*/-1, torch::minimum(passed_B1, last_B1)).squeeze(-1);
}

}  // namespace lococo
