#include "generate/generation.h"

namespace lococo {
namespace {

torch::Tensor allowed(const torch::Tensor& logits_BV, int64_t vocab_size) {
  if (vocab_size == 0 || vocab_size >= logits_BV.size(1)) return logits_BV;
  return logits_BV.narrow(/*dim=*/1, 0, vocab_size);
}

}  // namespace

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
