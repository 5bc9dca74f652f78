// One layer's sequence as the fused soft cache holds it: heads with more channels, which carry what
// a block's choice adds to the logits of the keys before it, so that FlashAttention takes it along.
#pragma once

#include <torch/custom_class.h>
#include <torch/types.h>

#include <array>
#include <span>
#include <vector>

#include "config/attention_config.h"
#include "soft/soft_blocks.h"
#include "soft/soft_cache.h"
#include "soft/soft_choice.h"
#include "soft/soft_steps.h"

namespace lococo {

/// Channels behind the D of a head, C = D + kMoreChannels. Block n has pair n % kBlocksAtOnce of
/// them: its queries have ones there and zeros in the others' pairs, keys the two parts of their
/// term. So the terms of several blocks stand side by side, and their queries can be one call.
inline constexpr int64_t kBlocksAtOnce = kMostKeyTerms, kMoreChannels = 2 * kBlocksAtOnce;

/// Keys and values that queries of all blocks see, [B, T, ., C]: of groups of heads going forward;
/// going back of single heads, which saves FlashAttention a sum of its own.
struct WideKeys {
  torch::Tensor k_BTGC, v_BTGC;

  torch::Tensor keys(int64_t end) const { return k_BTGC.narrow(/*dim=*/1, 0, end); }
  torch::Tensor values(int64_t end) const { return v_BTGC.narrow(/*dim=*/1, 0, end); }
  /// Each group's keys once for each of its `heads`; copies unless that is one.
  WideKeys of_heads(int64_t heads) const;
};

/// x_BNTD as [B, T, N, C], the new channels 0.
torch::Tensor widened(const torch::Tensor& x_BNTD);

/// What the backward pass needs of one block.
struct SoftBlockMemory {
  SoftBlock block;
  int64_t pair = 0;  ///< of channels
  torch::Tensor out_BLHC, lse_BHL;
  torch::Tensor seed, offset;  ///< of FlashAttention, which draws nothing; undefined on a CPU
  SoftChoice choice;           ///< undefined tensors: nothing was compressed
  torch::Tensor mass_BGM;      ///< that the choice was made by
};

/// Gradients of queries, of keys and of values.
using WideGradients = std::array<torch::Tensor, 3>;

/// A layer's sequence between forward and backward; owns the shared buffers. No gradients.
class SoftSequence : public torch::CustomClassHolder {
 public:
  /// `backend`: what takes_fused_soft_cache() says.
  SoftSequence(const SoftCache& cache, const torch::Tensor& q_BHTD, const torch::Tensor& k_BGTD,
               const torch::Tensor& v_BGTD, const torch::Tensor& score_BGT,
               const torch::Tensor& mass_weight_G, AttentionBackend backend);

  /// Attention of all queries, block after block, [B, T, H, D]; remembers the blocks.
  torch::Tensor attend();

  const SoftCache& cache() const { return cache_; }
  int64_t channels() const { return channels_; }
  double scale() const;
  const torch::Tensor& q_BTHC() const { return q_BTHC_; }
  const torch::Tensor& score_BGT() const { return score_BGT_; }
  const WideKeys& shared() const { return shared_; }
  const std::vector<SoftBlockMemory>& blocks() const { return blocks_; }

  /// What a block's choice was made by.
  BlockScores scores(const SoftBlockMemory& memory) const;

  /// Through the attention of up to kBlocksAtOnce consecutive blocks, whose terms it writes into
  /// `to`, for d_out_BTHC of the whole sequence: [B, ., H, C] for the blocks' queries and for the
  /// keys and values up to the last one's end.
  WideGradients attention_gradients(const WideKeys& to, std::span<const SoftBlockMemory> blocks,
                                    const torch::Tensor& d_out_BTHC) const;

 private:
  void choose(SoftBlockMemory& memory, const torch::Tensor& mass_BGM) const;
  void attend_block(SoftBlockMemory& memory) const;
  void attend_on_cpu(SoftBlockMemory& memory) const;
  torch::Tensor mass_after(const SoftBlockMemory& memory, const torch::Tensor& earlier_BGM) const;
  void set_terms(const WideKeys& to, const SoftBlockMemory& memory) const;
  torch::Tensor queries(int64_t begin, int64_t end) const;

  SoftCache cache_;
  AttentionBackend backend_;
  int64_t channels_;  // D
  torch::Tensor q_BTHC_, score_BGT_, mass_weight_G_;
  WideKeys shared_;
  std::vector<SoftBlockMemory> blocks_;
};

}  // namespace lococo
