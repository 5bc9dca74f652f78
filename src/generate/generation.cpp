#include "generate/generation.h"

#include <algorithm>

namespace lococo {
namespace {

torch::Tensor allowed(const torch::Tensor& logits_BV, int64_t vocab_size) {
  if (vocab_size == 0 || vocab_size >= logits_BV.size(1)) return logits_BV;
  return logits_BV.narrow(/*dim=*/1, 0, vocab_size);
}

torch::Tensor is_any_of(const torch::Tensor& tokens_B, const std::vector<int64_t>& wanted) {
  auto is_one_B = torch::zeros_like(tokens_B, torch::kBool);
  for (const int64_t token : wanted) is_one_B = is_one_B.logical_or(tokens_B == token);
  return is_one_B;
}

/// Room for a column more, of `most` in all: an answer that may be long is mostly short.
void make_room_for_one(int64_t used, int64_t most, torch::Tensor* result_BT) {
  constexpr int64_t kFirst = 1024;
  const auto& old_BT = *result_BT;
  if (used < old_BT.size(1)) return;
  const auto more =
      old_BT.new_empty({old_BT.size(0), std::min(std::max(used, kFirst), most - used)});
  *result_BT = torch::cat({old_BT, more}, /*dim=*/1);
}

}  // namespace

torch::Tensor decode(Decoder& decoder, torch::Tensor logits_BV, Sampler& sampler,
                     const GenerationOptions& options) {
  torch::NoGradGuard no_grad;
  const int64_t B = decoder.batch(), most = options.max_new_tokens;
  TORCH_CHECK(most > 0 && options.check_every > 0, "max_new_tokens=", most,
              " check_every=", options.check_every);
  const auto on_device = torch::dtype(torch::kInt64).device(decoder.device());
  auto result_BT = torch::empty({B, 0}, on_device);
  auto active_B = torch::ones({B}, on_device.dtype(torch::kBool));
  int64_t told = 0;
  const auto tell = [&](int64_t made) {
    if (options.on_tokens) options.on_tokens(result_BT.slice(/*dim=*/1, told, made).cpu());
    told = made;
  };
  for (int64_t t = 0;; ++t) {
    auto next_B =
        decoder.shared(decoder.has_logits() ? sampler.sample(allowed(logits_BV, options.vocab_size))
                                            : torch::zeros({B}, on_device));
    if (!options.end_tokens.empty()) {
      // (where() would wait for its scalar to be copied)
      next_B = next_B.masked_fill(active_B.logical_not(), options.end_tokens.front());
      active_B = active_B.logical_and(is_any_of(next_B, options.end_tokens).logical_not());
    }
    make_room_for_one(t, most, &result_BT);
    result_BT.select(/*dim=*/1, t).copy_(next_B);
    const int64_t made = t + 1;
    const bool looks = made % options.check_every == 0;
    if (looks || made == most) tell(made);
    if (made == most) return result_BT;
    const bool have_ended = looks && !options.end_tokens.empty() && !active_B.any().item<bool>();
    if (have_ended || (looks && options.is_over && options.is_over()))
      return result_BT.narrow(/*dim=*/1, 0, made);
    logits_BV = decoder.step(next_B);
  }
}

torch::Tensor generate(Decoder& decoder, const std::vector<torch::Tensor>& prompts_T,
                       const GenerationOptions& options) {
  decoder.reset();
  const auto logits_BV = decoder.extend(prompts_T, options.on_block);
  Sampler sampler(options.sampling, decoder.batch(), logits_BV.size(1), decoder.device());
  for (size_t row = 0; row < prompts_T.size(); ++row)
    sampler.see(static_cast<int64_t>(row), prompts_T[row]);
  return decode(decoder, logits_BV, sampler, options);
}

torch::Tensor generate(Decoder& decoder, const torch::Tensor& tokens_BT,
                       const GenerationOptions& options) {
  return generate(decoder, tokens_BT.unbind(/*dim=*/0), options);
}

}  // namespace lococo
