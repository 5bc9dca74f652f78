// The base model and what it computes in. config/config.h says what all options have in common.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/model_shape.h"

namespace lococo {

/// Compute type of activations and frozen weights; what is trained always keeps a float32 master
/// copy.
enum class DType { kFloat32, kBFloat16 };

/// How the projections of all layers are kept while they are not trained. Embedding, output layer
/// and norms have the compute type whatever it is.
enum class BasePrecision {
  kAuto,  ///< as the compute type
  kFp8,   ///< 8-bit floating point, e4m3, for inputs too where the GPU multiplies it
  kNf4,   ///< QLoRA's 4 bits (arXiv 2305.14314)
};

struct ModelConfig {
  /// Hugging Face folder (config.json + safetensors); empty: random weights of shape `init`.
  std::string path;
  /// Checkpoint or export folder of ours, or a PEFT adapter folder; empty: none.
  std::string adapter;
  ModelShape init;         ///< shape of a model with random weights, used when `path` is empty
  double init_std = 0.02;  ///< standard deviation of random linear and embedding weights
  DType dtype = DType::kFloat32;
  BasePrecision base_precision = BasePrecision::kAuto;
  /// Replaces the scaling that the checkpoint's own config.json names; absent: the checkpoint's.
  std::optional<RopeScaling> rope_scaling;
  /// Tokens that linear interpolation of the positions makes room for, on top of a linear scaling
  /// that the checkpoint has; 0: none.
  int64_t interpolate_to = 0;
};

}  // namespace lococo
