// Text generation, token after token: the host waits for the device only now and then.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>

#include "generate/decoder.h"
#include "generate/sampler.h"

namespace lococo {

struct GenerationOptions {
  SamplingOptions sampling;
  int64_t max_new_tokens = 256;
  int64_t end_token = -1;    ///< ends a row; -1: none
  int64_t vocab_size = 0;    ///< draw from the first so many tokens of the model's; 0: all
  int64_t check_every = 16;  ///< tokens between two looks at the device: have all rows ended?
  /// Where given, gets at each such look and at the end what came since, int64 [B, n] on the CPU.
  std::function<void(const torch::Tensor& new_BT)> on_tokens;
  std::function<void(int64_t)> on_block;  ///< see Decoder::prefill
};

/// Continues tokens_BT (int64, all rows of one length) and returns the new tokens, int64 [B, at
/// most max_new_tokens] on the device. A row that has ended is filled with end_token and its logits
/// have no more say.
torch::Tensor generate(Decoder& decoder, const torch::Tensor& tokens_BT,
                       const GenerationOptions& options);

}  // namespace lococo
