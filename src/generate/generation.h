// Text generation: tokens are drawn on the device, and the host waits for it only now and then.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>

#include "generate/decoder.h"

namespace lococo {

struct SamplingOptions {
  double temperature = 0.0;  ///< of the softmax; 0: always the most probable token
  double top_p = 1.0;        ///< draw from the fewest most probable tokens of this mass (nucleus)
  uint64_t seed = 1;         ///< of the draws
};

/// Draws tokens from logits with tensor operations only. Random numbers come from the CPU for the
/// whole run at once, so a seed means one text on every device (up to the rounding of logits), and
/// drawing needs no state on the device.
class Sampler {
 public:
  /// For `batch` rows and at most `draws` tokens of each.
  Sampler(const SamplingOptions& options, int64_t batch, int64_t draws, torch::Device device);

  /// The `draw`-th token of each row, int64 [B], from logits_BV. arXiv 1904.09751 for top_p.
  torch::Tensor sample(const torch::Tensor& logits_BV, int64_t draw) const;

 private:
  SamplingOptions options_;
  torch::Tensor uniform_TB_;
};

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
