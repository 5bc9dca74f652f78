// Tokens drawn on the device from logits.
#pragma once

#include <ATen/core/Generator.h>
#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace lococo {

struct SamplingOptions {
  double temperature = 0.0;  ///< of the softmax; 0: always the most probable token
  int64_t top_k = 0;         ///< draw from so many of the most probable tokens; 0: all
  double top_p = 1.0;        ///< draw from the fewest most probable tokens of this mass (nucleus)
  uint64_t seed = 1;         ///< of the draws
  /// Logits of tokens that were seen are divided by it where positive, multiplied where negative
  /// (arXiv 1909.05858); 1: none.
  double repetition_penalty = 1.0;
};

/// The logits of tokens that were seen (bool) after repetition_penalty.
torch::Tensor penalise_seen(const torch::Tensor& logits_BV, const torch::Tensor& seen_BV,
                            double penalty);

/// What tokens are drawn from, most probable first.
struct TokenChoices {
  torch::Tensor probability_BK;  ///< of those that may be drawn together 1, then zeros
  torch::Tensor token_BK;        ///< int64
};

/// Temperature, then top_k, then top_p (arXiv 1904.09751) of what is left, as transformers does.
/// `options.temperature` > 0.
TokenChoices token_choices(const torch::Tensor& logits_BV, const SamplingOptions& options);

/// Draws tokens from logits with tensor operations only, and no wait for the device. Random numbers
/// come from the CPU, for many tokens at once and whenever they are used up, so a seed means one
/// text on every device (up to the rounding of logits), and drawing needs no state of a generator
/// on the device.
class Sampler {
 public:
  /// For `batch` rows of a model whose logits have `vocab_size` columns.
  Sampler(const SamplingOptions& options, int64_t batch, int64_t vocab_size, torch::Device device);

  /// Tokens of a row's prompt, int64 [T] on the device: repetition_penalty counts them as seen.
  void see(int64_t row, const torch::Tensor& tokens_T);
  /// As if nothing had been seen.
  void forget();

  /// A token of each row, int64 [B], from logits_BV; may be of the first columns alone. It counts
  /// as seen from then on.
  torch::Tensor sample(const torch::Tensor& logits_BV);

 private:
  bool penalises() const { return options_.repetition_penalty != 1.0; }
  torch::Tensor draw(const torch::Tensor& logits_BV);
  torch::Tensor next_uniform_B();

  SamplingOptions options_;
  int64_t B_;
  torch::Device device_;
  at::Generator generator_;
  torch::Tensor uniform_TB_;  ///< in [0, 1)
  int64_t drawn_ = 0;         ///< rows of uniform_TB_ that are used up
  torch::Tensor seen_BV_;     ///< bool; undefined without a penalty
};

}  // namespace lococo
