// The interface of what shrinks a KV cache, and the one place that knows every kind.
#pragma once

#include <torch/nn/module.h>

#include <memory>

#include "config/cache_config.h"
#include "lococo/cache_state.h"
#include "soft/soft_cache.h"

namespace lococo {

/// What a policy wants to know of each slot, beside its key and value.
struct PolicyNeeds {
  bool mass = false;   ///< attention's column sums (CacheState::mass_BGS)
  bool score = false;  ///< what CachePolicy::score says when it enters (CacheState::score_BGS)
};

/// What of a layer decides a policy's parameters.
struct PolicyShape {
  int64_t hidden_size = 0;  ///< E
  int64_t kv_heads = 0;     ///< G
  int64_t head_dim = 0;     ///< D
};

/// One policy belongs to one layer, because a policy may learn. CONTRIBUTING.md says how to add
/// one.
class CachePolicy : public torch::nn::Module {
 public:
  virtual PolicyNeeds needs() const = 0;

  /// needs().score: one number for each new token and key-value head, [B, G, L] float32, made of
  /// h_BLE, the layer's input after its norm.
  virtual torch::Tensor score(const torch::Tensor& h_BLE);

  /// Attention of a whole sequence through the soft form of this policy (soft_cache.h), [B, H, T,
  /// D]; only of a policy that can be taught. h_BTE as score()'s.
  virtual torch::Tensor attend_softly(const torch::Tensor& h_BTE, const SoftAttentionInput& input,
                                      const SoftCache& cache);

  /// Shrinks a cache of more than `slots` slots to exactly `slots`, and the masses that stay by
  /// CacheConfig::score_factor(). Keys and values keep their dtype and device. The result carries
  /// gradient to a learning policy's own parameters and to the cache's keys and values where these
  /// require one; masses carry none.
  virtual CacheState compress(const CacheState& cache) = 0;

  /// Does once what the compressions of a whole sequence share, for a cache that has homes. Whoever
  /// owns the cache calls it before the first block of EVERY sequence, because weights may have
  /// changed since the last, on the stream of the blocks and outside work that is recorded:
  /// recordings read the result (CacheState::prepared_KOC) where the first call put it.
  virtual void prepare(CacheState& /*cache*/) {}
};

/// nullptr for policy none. `init_seed` fixes the random initial weights of a learning policy.
std::shared_ptr<CachePolicy> make_cache_policy(const CacheConfig& config, const PolicyShape& shape,
                                               uint64_t init_seed);

}  // namespace lococo
