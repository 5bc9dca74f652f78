// The CUDA kernels behind soft_steps.h: raw pointers and a stream, so that the .cu sees no torch
// header. Every sum has a fixed order.
//
//   X rows (B * G heads of a batch)    M keys before a block    S = M + the block's own
#pragma once

#include <cstdint>

struct CUstream_st;  // cudaStream_t without CUDA's headers

namespace lococo {

/// Rows of scores that lie T apart, and what was paid to their first S keys.
struct BlockScoresArguments {
  const float* score;        ///< [X, T]
  const float* mass;         ///< [X, S]
  const float* mass_weight;  ///< [G]
  float* score_out;          ///< [X, S]
  float* massed_out;         ///< [X, S]
  int64_t X, G, T, S;
};
/// score_out = score, massed_out = score + mass_weight log(mass + kMassFloor).
void launch_block_scores(const BlockScoresArguments& x, CUstream_st* stream);

struct KeyTermsArguments {
  uint16_t* terms;        ///< bfloat16 [B, S, H, 2], 4-byte aligned, with the strides below
  const float* log_keep;  ///< [B, G, M], may be null when M is 0
  int64_t batch_stride, key_stride, head_stride;
  int64_t B, H, G, M, S;
  float factor;
};
/// factor * log_keep in two parts, the second what the first rounds away; 0 from key M on.
void launch_key_terms(const KeyTermsArguments& x, CUstream_st* stream);

struct AddMassArguments {
  float* received;        ///< [X, S]
  const float* log_keep;  ///< [X, M] or null: 0
  const float* earlier;   ///< [X, M] or null: 0
  int64_t X, M, S;
  float fading;
};
/// received = received * exp(log_keep) + fading * earlier for the first M keys.
void launch_add_mass(const AddMassArguments& x, CUstream_st* stream);

/// What a block adds to the logits of the first M keys.
struct KeyTermGradient {
  float* d_log_keep;  ///< [B, G, M], may be null when M is 0
  int64_t M;
};

struct KeyGradientsArguments {
  static constexpr int kTerms = 8;
  const uint16_t* dk;  ///< bfloat16 [B, S, H, D + 2 kTerms], 16-byte aligned; so is dv
  const uint16_t* dv;
  float* k_sum;  ///< [B, T, G, D]; so is v_sum
  float* v_sum;
  KeyTermGradient terms[kTerms];
  int64_t B, T, H, G, D, S;
  float factor;
};
/// Adds dk and dv, each group's heads summed, to the first S keys; d_log_keep of term n = factor
/// times the same sum of channel D + 2 n.
void launch_key_gradients(const KeyGradientsArguments& x, CUstream_st* stream);

struct ChoiceGradientsArguments {
  const float* d_score;   ///< [X, S]
  const float* d_massed;  ///< [X, S] or null: 0
  const float* mass;      ///< [X, S], may be null when d_massed is
  float* score_sum;       ///< [X, T]
  float* weight_sum;      ///< [X]
  int64_t X, T, S;
};
/// score_sum += d_score + d_massed; weight_sum += sum of d_massed log(mass + kMassFloor).
void launch_choice_gradients(const ChoiceGradientsArguments& x, CUstream_st* stream);

}  // namespace lococo
