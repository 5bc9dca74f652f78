// The shape of a LLaMA-family model, as Hugging Face's config.json describes it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lococo {

enum class RopeType { kDefault, kLinear, kDynamic, kYarn, kLlama3 };

/// How rotary angles are changed for contexts beyond the pretrained one (names as in transformers).
struct RopeScaling {
  RopeType type = RopeType::kDefault;
  double factor = 1.0;
  int64_t original_max_position_embeddings = 0;  ///< 0: max_position_embeddings of the model
  double low_freq_factor = 1.0;                  ///< llama3
  double high_freq_factor = 4.0;                 ///< llama3
  double beta_fast = 32.0;                       ///< yarn
  double beta_slow = 1.0;                        ///< yarn
  double attention_factor = 0.0;                 ///< yarn; 0: derived from the factor

  bool operator==(const RopeScaling&) const = default;
};

struct ModelShape {
  int64_t vocab_size = 0;         ///< V
  int64_t hidden_size = 0;        ///< E
  int64_t intermediate_size = 0;  ///< F
  int64_t num_layers = 0;         ///< N
  int64_t num_heads = 0;          ///< H
  int64_t num_kv_heads = 0;       ///< G; 0: num_heads
  int64_t head_dim = 0;           ///< D; 0: hidden_size / num_heads
  int64_t max_position_embeddings = 4096;
  double rms_norm_eps = 1e-5;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  bool tie_word_embeddings = false;
  int64_t bos_token_id = 1;  ///< -1: none
  std::vector<int64_t> eos_token_ids = {2};

  /// Fills num_kv_heads and head_dim where they are 0.
  void resolve_defaults() {
    if (num_kv_heads == 0) num_kv_heads = num_heads;
    if (head_dim == 0 && num_heads > 0) head_dim = hidden_size / num_heads;
  }
};

/// The factor of linear position interpolation that makes room for `positions` tokens: a whole
/// multiple of the linear factor that the shape has already (1 without scaling).
double interpolation_factor(const ModelShape& shape, int64_t positions);

/// The transformers name of a type: default, linear, dynamic, yarn, llama3.
const char* name_of(RopeType type);

/// Why a scaling makes no sense, as "rope_scaling: reason"; empty when it does.
std::string rope_problem(const RopeScaling& scaling);

/// Tokens that the shape has positions for. Its max_position_embeddings are those before a linear
/// scaling, and those after a yarn or llama3 one if they are more than the pretrained length.
int64_t positions_of(const ModelShape& shape);

/// Why a shape (its defaults resolved) cannot be a model, as "key: reason" with the Hugging Face
/// name of the key; empty when it can.
std::string shape_problem(const ModelShape& shape);

}  // namespace lococo
