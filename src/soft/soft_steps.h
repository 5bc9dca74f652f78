// The small steps around a block's attention in the fused soft cache: for bfloat16 keys and float32
// scores on a GPU one kernel each, else tensor operations. All without gradient. A block of queries
// sees S keys, of which the first M came before it.
#pragma once

#include <torch/types.h>

namespace lococo {

/// What a block's choice is made by: contiguous [B, G, M], in the dtype of the score.
struct BlockScores {
  torch::Tensor score_BGM;
  torch::Tensor massed_BGM;  ///< undefined without masses
};

/// Of score_BGT's first M keys; massed: score_with_mass() of mass_BGM, which may be undefined.
BlockScores block_scores(const torch::Tensor& score_BGT, const torch::Tensor& mass_BGM,
                         const torch::Tensor& mass_weight_G, int64_t M);

/// Writes log_keep_BGM / scale into channels D and D + 1 of its group's heads in k_BSHC, split into
/// what k's dtype holds of it and the rest; 0 for later keys, for all when log_keep is undefined.
void write_key_terms(const torch::Tensor& k_BSHC, const torch::Tensor& log_keep_BGM, int64_t D,
                     double scale);

/// What each key has received after a block: received_BGS, in place, times its share kept
/// (log_keep_BGM, undefined: all), and `fading` of what it had before (undefined: nothing).
void add_mass(const torch::Tensor& received_BGS, const torch::Tensor& log_keep_BGM,
              const torch::Tensor& earlier_BGM, double fading);

/// Adds a block's gradients of keys and values, each group's heads summed, to the first S of the
/// sums [B, T, G, D], and returns that of log_keep [B, G, M]: undefined when M is 0.
torch::Tensor add_key_gradients(const torch::Tensor& dk_BSHC, const torch::Tensor& dv_BSHC,
                                const torch::Tensor& k_sum_BTGD, const torch::Tensor& v_sum_BTGD,
                                int64_t M, double scale);

/// Adds the gradients of block_scores() to score_sum_BGT and weight_sum_BG, the latter by row.
/// Either gradient may be undefined; mass_BGM only with d_massed_BGM.
void add_choice_gradients(const torch::Tensor& d_score_BGM, const torch::Tensor& d_massed_BGM,
                          const torch::Tensor& mass_BGM, const torch::Tensor& score_sum_BGT,
                          const torch::Tensor& weight_sum_BG);

}  // namespace lococo
