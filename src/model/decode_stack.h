// All layers of a model for one new token of each sequence.
#pragma once

#include <torch/types.h>

#include <vector>

#include "model/llama.h"
#include "tensor/decode_attention.h"
#include "tensor/skinny_linear.h"

namespace lococo {

/// Weights in the compute dtype, LoRA merged into them (rounded to that dtype): a snapshot, so that
/// later changes of LoRA or of float32 master weights are not seen. What needs no conversion is
/// shared with the model.
class DecodeStack {
 public:
  /// For `batch` sequences and caches of `capacity` slots.
  DecodeStack(Llama model, int64_t batch, int64_t capacity);

  /// The next token of each sequence, int64 [B], through all layers: caches (one of each layer)
  /// take it in. Returns logits_BV in float32 (float64 for a model of float64). No gradient, no
  /// wait for the device: can be captured as a CUDA graph.
  torch::Tensor forward(const torch::Tensor& tokens_B, std::vector<DecodeCache>& caches,
                        const DecodePosition& position);

  /// The output layer on final hidden states (after the last norm).
  torch::Tensor logits(const torch::Tensor& hidden_BE) const;

 private:
  struct Layer {  // weights
    torch::Tensor input_norm, q, k, v, o, post_norm, gate, up, down;
  };

  torch::Tensor run_layer(const Layer& layer, const torch::Tensor& hidden_BE, DecodeCache& cache,
                          const DecodePosition& position);

  SkinnyNorm norm(const torch::Tensor& weight_E) const;

  Llama model_;
  int64_t B_;
  std::vector<Layer> layers_;
  torch::Tensor norm_E_, head_VE_;
  DecodeAttention attention_;
};

}  // namespace lococo
