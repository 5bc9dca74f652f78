// Learned retention: a small gate reads a token's hidden state as it enters and says how much the
// token is worth keeping, for each key-value head; the cache keeps what the gate and attention
// want. docs/memory.md describes the method and how it is taught.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "lococo/cache_policy.h"

namespace lococo {

/// What a gate's input is multiplied by first.
inline constexpr double kGateInputScale = 0.25;

/// The gate of one layer, E -> G, all of it float32:
///   score = W_out gelu(W_hidden x + b_hidden) + W_skip x + b_out,  x = h / 4, gelu with erf.
/// Parameters: hidden_weight [U, E], hidden_bias [U], out_weight [G, U], skip_weight [G, E],
/// out_bias [G] and mass_weight [G], the share of the logarithm of attention's mass.
class RetentionGateImpl : public torch::nn::Module {
 public:
  RetentionGateImpl(int64_t hidden_size, int64_t hidden_units, int64_t kv_heads,
                    uint64_t init_seed);

  /// h_BLE [B, L, E], a layer's input after its norm (what q, k and v are made of), any dtype ->
  /// [B, G, L] float32 (float64 for float64). Gradients reach the gate and h.
  torch::Tensor forward(const torch::Tensor& h_BLE);
  /// The same in products of h's own precision, for bfloat16 and weights in float32
  /// (split_linear.h).
  torch::Tensor forward_split(const torch::Tensor& h_BLE) const;
  /// The same in float32 (float64 for float64) throughout.
  torch::Tensor forward_wide(const torch::Tensor& h_BLE) const;

  torch::Tensor hidden_weight, hidden_bias, out_weight, skip_weight, out_bias, mass_weight;
};
TORCH_MODULE(RetentionGate);

/// Keeps, in order of time: the first `sinks` and last `local` slots, of those between the
/// `alone_slots` of the highest score, and of the others the `massed_slots` of the highest score
/// with mass. The rest is dropped. One ranking lets what the text dwells on drown what may be asked
/// for; two shares hold both.
class RetentionPolicy : public CachePolicy {
 public:
  RetentionPolicy(const CacheConfig& config, const PolicyShape& shape, uint64_t init_seed);
  PolicyNeeds needs() const override { return {config_.massed_slots() > 0, /*score=*/true}; }
  /// The gate's score to 12 binary places: equal tokens of the first layer then have equal scores,
  /// however a batch or a device rounds. No gradient.
  torch::Tensor score(const torch::Tensor& h_BLE) override;
  CacheState compress(const CacheState& cache) override;
  torch::Tensor attend_softly(const torch::Tensor& h_BTE, const SoftAttentionInput& input,
                              const SoftCache& cache) override;

  RetentionGate gate{nullptr};

 protected:
  const CacheConfig& config() const { return config_; }

 private:
  CacheConfig config_;
};

}  // namespace lococo
