#include "generate/sampler.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>

#include "tensor/kit/shape.h"

namespace lococo {

torch::Tensor penalise_seen(const torch::Tensor& logits_BV, const torch::Tensor& seen_BV,
                            double penalty) {
  const auto less_likely_BV = torch::where(logits_BV < 0, logits_BV * penalty, logits_BV / penalty);
  return torch::where(seen_BV, less_likely_BV, logits_BV);
}

TokenChoices token_choices(const torch::Tensor& logits_BV, const SamplingOptions& options) {
  const int64_t V = logits_BV.size(1);
  const auto scaled_BV = logits_BV / options.temperature;
  const auto [sorted_BK, order_BK] =
      options.top_k > 0 && options.top_k < V
          ? scaled_BV.topk(options.top_k, /*dim=*/-1, /*largest=*/true, /*sorted=*/true)
          : scaled_BV.sort(/*stable=*/true, /*dim=*/-1, /*descending=*/true);
  const auto probability_BK = torch::softmax(sorted_BK, /*dim=*/-1);
  // A token belongs to the nucleus when those before it have not filled it: the first always does.
  const auto left_BK = probability_BK.cumsum(/*dim=*/-1) - probability_BK >= options.top_p;
  const auto kept_BK = probability_BK.masked_fill(left_BK, 0.0);
  return {kept_BK / kept_BK.sum(/*dim=*/-1, /*keepdim=*/true), order_BK};
}

Sampler::Sampler(const SamplingOptions& options, int64_t batch, int64_t vocab_size,
                 torch::Device device)
    : options_(options),
      B_(batch),
      device_(device),
      generator_(at::detail::createCPUGenerator(options.seed)) {
  TORCH_CHECK(options.temperature >= 0 && options.top_p > 0 && options.top_p <= 1 &&
                  options.top_k >= 0 && options.repetition_penalty > 0,
              "temperature=", options.temperature, " top_p=", options.top_p,
              " top_k=", options.top_k, " repetition_penalty=", options.repetition_penalty);
  if (penalises())
    seen_BV_ = torch::zeros({batch, vocab_size}, torch::dtype(torch::kBool).device(device));
}

void Sampler::see(int64_t row, const torch::Tensor& tokens_T) {
  if (penalises()) seen_BV_[row].index_fill_(/*dim=*/0, tokens_T, true);
}

void Sampler::forget() {
  if (penalises()) seen_BV_.zero_();
}

torch::Tensor Sampler::sample(const torch::Tensor& logits_BV) {
  torch::NoGradGuard no_grad;
  const int64_t V = logits_BV.size(1);
  CHECK_SHAPE(logits_BV, B_, V);
  if (!penalises()) return draw(logits_BV);
  const auto seen_BV = seen_BV_.narrow(/*dim=*/1, 0, V);
  const auto token_B = draw(penalise_seen(logits_BV, seen_BV, options_.repetition_penalty));
  seen_BV_.scatter_(/*dim=*/1, token_B.unsqueeze(-1), true);
  return token_B;
}

torch::Tensor Sampler::draw(const torch::Tensor& logits_BV) {
  if (options_.temperature == 0) return logits_BV.argmax(/*dim=*/-1);
  const auto choices = token_choices(logits_BV, options_);
  const auto upto_BK = choices.probability_BK.cumsum(/*dim=*/-1);
  const auto target_B1 = next_uniform_B().unsqueeze(-1);
  // The first token whose sum exceeds the target; rounding may leave none, then the last kept one.
  const auto passed_B1 = (upto_BK <= target_B1).sum(/*dim=*/-1, /*keepdim=*/true);
  const auto last_B1 = (choices.probability_BK > 0).sum(/*dim=*/-1, /*keepdim=*/true) - 1;
  return choices.token_BK.gather(/*dim=*/-1, torch::minimum(passed_B1, last_B1)).squeeze(-1);
}

torch::Tensor Sampler::next_uniform_B() {
  constexpr int64_t kAtOnce = 1024;
  if (!uniform_TB_.defined() || drawn_ == kAtOnce) {
    uniform_TB_ = torch::empty({kAtOnce, B_}, torch::kFloat32).uniform_(0.0, 1.0, generator_);
    uniform_TB_ = uniform_TB_.to(device_);
    drawn_ = 0;
  }
  return uniform_TB_.select(/*dim=*/0, drawn_++);
}

}  // namespace lococo
