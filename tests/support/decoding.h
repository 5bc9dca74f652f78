// A decoder driven over tokens that are known beforehand.
#pragma once

#include <torch/types.h>

#include <vector>

#include "generate/decoder.h"

namespace lococo::testing {

/// Logits after the prompt and after every further token, [B, 1 + steps, V]. The first `prompt`
/// tokens of tokens_BL (int64) are the prompt.
inline torch::Tensor decode(Decoder& decoder, const torch::Tensor& tokens_BL, int64_t prompt) {
  std::vector<torch::Tensor> logits = {decoder.prefill(tokens_BL.narrow(1, 0, prompt)).clone()};
  for (int64_t t = prompt; t < tokens_BL.size(1); ++t)
    logits.push_back(decoder.step(tokens_BL.select(1, t)).clone());
  return torch::stack(logits, 1);
}

}  // namespace lococo::testing
