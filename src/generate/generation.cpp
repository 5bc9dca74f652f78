#include "generate/generation.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>

#include "tensor/kit/shape.h"

namespace lococo {
namespace {

torch::Tensor allowed(const torch::Tensor& logits_BV, int64_t vocab_size) {
  if (vocab_size == 0 || vocab_size >= logits_BV.size(1)) return logits_BV;
  return logits_BV.narrow(/*dim=*/1, 0, vocab_size);
}

}  // namespace

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

torch::Tensor generate(Decoder& decoder, const torch::Tensor& tokens_BT,
                       const GenerationOptions& options) {
  torch::NoGradGuard no_grad;
  const int64_t B = decoder.batch(), most = options.max_new_tokens;
  TORCH_CHECK(most > 0 && options.check_every > 0, "max_new_tokens=", most,
              " check_every=", options.check_every);
  const Sampler sampler(options.sampling, B, most, decoder.device());
  const bool may_end = options.end_token >= 0;
  auto result_BT = torch::empty({B, most}, tokens_BT.options());
  auto active_B = torch::ones({B}, tokens_BT.options().dtype(torch::kBool));
  int64_t told = 0;
  const auto tell = [&](int64_t made) {
    if (options.on_tokens) options.on_tokens(result_BT.slice(/*dim=*/1, told, made).cpu());
    told = made;
  };
  auto logits_BV = decoder.prefill(tokens_BT, options.on_block);
  for (int64_t t = 0;; ++t) {
    auto next_B = sampler.sample(allowed(logits_BV, options.vocab_size), t);
    if (may_end) {
      // (where() would wait for its scalar to be copied)
      next_B = next_B.masked_fill(active_B.logical_not(), options.end_token);
      active_B = active_B.logical_and(next_B != options.end_token);
    }
    result_BT.select(/*dim=*/1, t).copy_(next_B);
    const int64_t made = t + 1;
    const bool looks = made % options.check_every == 0;
    if (looks || made == most) tell(made);
    if (made == most) return result_BT;
    if (looks && may_end && !active_B.any().item<bool>())
      return result_BT.narrow(/*dim=*/1, 0, made);
    logits_BV = decoder.step(next_B);
  }
}

}  // namespace lococo
