// Self-attention of one layer: projections, RoPE, cache policy.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <memory>

#include "config/attention_config.h"
#include "config/cache_config.h"
#include "lococo/cache_policy.h"
#include "lococo/step_plan.h"
#include "model/linear.h"
#include "model/rope.h"
#include "tensor/pattern/attention_pattern.h"

namespace lococo {

/// What every layer of one forward shares; the tables are made once.
struct AttentionInput {
  BlockStep step;     ///< of the block; begin = 0, end = L for a whole sequence
  RopeTable queries;  ///< angles of the L queries
  /// Angles of the block's own keys when keys are cached rotated; of all S slots when unrotated.
  /// With positions text: of all places of the frame.
  RopeTable keys;
  /// Positions text: int32 on the device, the place of the block's first token in the frame, and by
  /// how much the frame has moved since the block before. Undefined: slots are places.
  torch::Tensor frame_2 = {};
  /// Teaching: attention is the soft form of this cache; a whole sequence, no state.
  const SoftCache* soft_cache = nullptr;
  /// Of a whole sequence without a soft cache: what its queries see (never nullptr then), and the
  /// documents of its rows (nullptr: every row is one).
  std::shared_ptr<const AttentionPattern> pattern = nullptr;
  std::shared_ptr<const Documents> documents = nullptr;
  /// With documents: where each token stands in its own, int32 [B, L]; `queries` and `keys` are
  /// tables of all places.
  torch::Tensor place_BL = {};
  /// Leave the block's cache in the graph, for a loss of a later block; the states then have no
  /// homes. Otherwise it is detached.
  bool carry_gradient = false;
};

class SelfAttentionImpl : public torch::nn::Module {
 public:
  SelfAttentionImpl(const ModelShape& shape, const CacheConfig& cache, AttentionBackend backend,
                    uint64_t init_seed);

  /// hidden_BLE -> [B, L, E]. With a `state` the block attends to the cached slots and itself, and
  /// `state` becomes the cache after the block, detached unless input.carry_gradient. Gradients
  /// reach the block's own q, k, v (k and v unless step.detach_keys), the policy's parameters if
  /// the cache was compressed at this block, and the state's keys and values if they require one.
  /// Without a state a `memo` may be given: an empty one is filled, a filled one stands in for the
  /// attention that it remembers.
  torch::Tensor forward(const torch::Tensor& hidden_BLE, const AttentionInput& input,
                        CacheState* state, PatternMemo* memo = nullptr);

  Linear q_proj{nullptr};
  Linear k_proj{nullptr};
  Linear v_proj{nullptr};
  Linear o_proj{nullptr};
  /// nullptr for policy none; registered only if it has parameters.
  std::shared_ptr<CachePolicy> memory_saver;

 private:
  static torch::Tensor attend_whole(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGLD,
                                    const torch::Tensor& v_BGLD, const AttentionInput& input,
                                    PatternMemo* memo);
  torch::Tensor attend_block(const torch::Tensor& hidden_BLE, const torch::Tensor& q_BHLD,
                             const torch::Tensor& k_BGLD, const torch::Tensor& v_BGLD,
                             const AttentionInput& input, CacheState* state);
  CacheState compressed(const CacheState& state, const AttentionInput& input);
  void remember(const torch::Tensor& hidden_BLE, const CacheState& past,
                const AttentionInput& input, CacheState* state);
  torch::Tensor rotated_keys(const torch::Tensor& k_BGSD, const CacheState& state,
                             const AttentionInput& input) const;
  ModelShape shape_;
  CacheConfig cache_;
  AttentionBackend backend_;
};
TORCH_MODULE(SelfAttention);

}  // namespace lococo
