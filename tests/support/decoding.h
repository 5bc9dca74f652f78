// A decoder driven over tokens that are known beforehand.
#pragma once

#include <torch/types.h>

#include <vector>

#include "decode/decoder.h"
#include "tests/support/policies.h"
#include "tests/support/tiny_llama.h"

namespace lococo::testing {

inline DecoderOptions decoder_options(int64_t batch, int64_t decode_buffer,
                                      int64_t max_tokens = 0) {
  DecoderOptions result;
  result.batch = batch;
  result.decode_buffer = decode_buffer;
  result.max_tokens = max_tokens;
  return result;
}

/// Every row of all_policies(), and the cache that keeps everything.
inline std::vector<PolicyCase> policies_and_none() {
  auto cases = all_policies();
  cases.push_back({"none", tiny_cache()});
  cases.back().cache.policy = CachePolicyKind::kNone;
  return cases;
}

/// Logits after the prompt and after every further token, [B, 1 + steps, V]. The first `prompt`
/// tokens of tokens_BL (int64) are the prompt.
inline torch::Tensor decode(Decoder& decoder, const torch::Tensor& tokens_BL, int64_t prompt) {
  std::vector<torch::Tensor> logits = {decoder.prefill(tokens_BL.narrow(1, 0, prompt)).clone()};
  for (int64_t t = prompt; t < tokens_BL.size(1); ++t)
    logits.push_back(decoder.step(tokens_BL.select(1, t)).clone());
  return torch::stack(logits, 1);
}

/// Logits after prompts of these lengths and after every further token, [B, 1 + steps, V].
inline torch::Tensor decode_rows(Decoder& decoder, const torch::Tensor& tokens_BT,
                                 const std::vector<int64_t>& prompts, int64_t steps) {
  std::vector<torch::Tensor> rows;
  for (size_t row = 0; row < prompts.size(); ++row)
    rows.push_back(tokens_BT[static_cast<int64_t>(row)].narrow(0, 0, prompts[row]));
  decoder.reset();
  std::vector<torch::Tensor> logits = {decoder.extend(rows).clone()};
  for (int64_t t = 0; t < steps; ++t) {
    std::vector<torch::Tensor> next;
    for (size_t row = 0; row < prompts.size(); ++row)
      next.push_back(tokens_BT[static_cast<int64_t>(row)][prompts[row] + t]);
    logits.push_back(decoder.step(torch::stack(next)).clone());
  }
  return torch::stack(logits, 1);
}

}  // namespace lococo::testing
