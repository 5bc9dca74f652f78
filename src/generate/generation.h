// Text generation, token after token: the host waits for the device only now and then.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "decode/decoder.h"
#include "generate/sampler.h"

namespace lococo {

struct GenerationOptions {
  SamplingOptions sampling;
  int64_t max_new_tokens = 256;
  std::vector<int64_t> end_tokens;  ///< each ends a row
  int64_t vocab_size = 0;           ///< draw from the first so many tokens of the model's; 0: all
  int64_t check_every = 16;  ///< tokens between two looks at the device: have all rows ended?
  /// Where given, gets at each such look and at the end what came since, int64 [B, n] on the CPU.
  std::function<void(const torch::Tensor& new_BT)> on_tokens;
  /// Where given, asked after each look: true ends all rows.
  std::function<bool()> is_over;
  Decoder::OnBlock on_block;  ///< while prompts are read
};

/// Tokens that follow the decoder's rows, whose next logits are logits_BV: int64 [B, at most
/// max_new_tokens] on the device. A row that has ended is filled with the first of end_tokens and
/// its logits have no more say. The caches hold all of the new tokens but the last.
torch::Tensor decode(Decoder& decoder, torch::Tensor logits_BV, Sampler& sampler,
                     const GenerationOptions& options);

/// Starts anew with a prompt in each row (int64 [T], T >= 1) and decodes.
torch::Tensor generate(Decoder& decoder, const std::vector<torch::Tensor>& prompts_T,
                       const GenerationOptions& options);

/// The same for prompts of one length, tokens_BT int64.
torch::Tensor generate(Decoder& decoder, const torch::Tensor& tokens_BT,
                       const GenerationOptions& options);

}  // namespace lococo
