// The small steps around a block's attention in the fused soft cache: for bfloat16 keys and float32
// scores on a GPU one kernel each, else tensor operations. All without gradient. A block of queries
// sees S keys, of which the first M came before it.
#pragma once

#include <torch/types.h>

#include <span>
#include <vector>

namespace lococo {

/// What a block's choice is made by: contiguous [B, G, M], in the dtype of the score.
struct BlockScores {
  torch::Tensor score_BGM;
  torch::Tensor massed_BGM;  ///< undefined without masses
};

/// Of score_BGT's first M keys; massed: score_with_mass() of mass_BGM, which may be undefined.
BlockScores block_scores(const torch::Tensor& score_BGT, const torch::Tensor& mass_BGM,
                         const torch::Tensor& mass_weight_G, int64_t M);

/// Blocks whose keys' terms stand side by side in pairs of channels behind the D of a head.
inline constexpr int64_t kMostKeyTerms = 8;

/// Writes log_keep_BGM / scale into channels `channel` (even) and the next of its group's heads in
/// k_BSHC, split into what k's dtype holds of it and the rest; 0 for later keys, for all when
/// log_keep is undefined.
void write_key_terms(const torch::Tensor& k_BSHC, const torch::Tensor& log_keep_BGM,
                     int64_t channel, double scale);

/// What each key has received after a block: received_BGS, in place, times its share kept
/// (log_keep_BGM, undefined: all), and `fading` of what it had before (undefined: nothing).
void add_mass(const torch::Tensor& received_BGS, const torch::Tensor& log_keep_BGM,
              const torch::Tensor& earlier_BGM, double fading);

/// Adds some blocks' gradients of keys and values, C = D + 2 kMostKeyTerms, each group's heads
/// summed, to the first S of the sums [B, T, G, D]. Returns for each of up to kMostKeyTerms blocks,
/// the first `terms[n]` keys of which have a term in pair n, that of its log_keep
/// [B, G, terms[n]]: undefined where that is 0.
std::vector<torch::Tensor> add_key_gradients(const torch::Tensor& dk_BSHC,
                                             const torch::Tensor& dv_BSHC,
                                             const torch::Tensor& k_sum_BTGD,
                                             const torch::Tensor& v_sum_BTGD,
                                             std::span<const int64_t> terms, double scale);

/// Adds the gradients of block_scores() to score_sum_BGT and weight_sum_BG, the latter by row.
/// Either gradient may be undefined; mass_BGM only with d_massed_BGM.
void add_choice_gradients(const torch::Tensor& d_score_BGM, const torch::Tensor& d_massed_BGM,
                          const torch::Tensor& mass_BGM, const torch::Tensor& score_sum_BGT,
                          const torch::Tensor& weight_sum_BG);

}  // namespace lococo
