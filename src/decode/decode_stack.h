// The layers of a model, or of a part of it, for one new token of each sequence.
#pragma once

#include <torch/types.h>

#include <memory>
#include <vector>

#include "decode/decode_gate.h"
#include "decode/decode_weight.h"
#include "lococo/cache_policy.h"
#include "model/layers.h"
#include "model/llama.h"
#include "tensor/attention/decode_attention.h"
#include "tensor/layers/rms_norm.h"
#include "tensor/layers/skinny_linear.h"

namespace lococo {

/// A snapshot of the model's weights (DecodeWeight) in the compute dtype.
class DecodeStack {
 public:
  /// For `batch` sequences and caches of `capacity` slots.
  DecodeStack(Llama model, int64_t batch, int64_t capacity);

  /// From now on for caches of `capacity` slots.
  void set_capacity(int64_t capacity);

  /// The next token of each sequence, int64 [B], through all layers: caches (one of each layer)
  /// take it in. Returns logits_BV in float32 (float64 for a model of float64). A part that does
  /// not begin the model takes hidden states [B, E] in place of tokens, and one that does not end
  /// it returns them. No gradient, no wait for the device: can be captured as a CUDA graph.
  torch::Tensor forward(const torch::Tensor& entering, std::vector<DecodeCache>& caches,
                        const DecodePosition& position);

  /// The output layer, of a part that has it, on final hidden states (after the last norm).
  torch::Tensor logits(const torch::Tensor& hidden_BE) const;

 private:
  struct Layer {
    torch::Tensor input_norm, post_norm;
    DecodeWeight qkv, o, gate_up, down;
    GateTail scores;  ///< defined: behind q, k, v the product `qkv` has what this takes
    std::shared_ptr<CachePolicy>
        scorer;  ///< else the policy where it gives tokens a score, or null
  };
  Layer make_layer(DecoderLayerImpl& layer) const;

  /// Few rows: the project's kernels, which do what stands around a product on the way.
  torch::Tensor few_rows(const Layer& layer, const torch::Tensor& hidden_BE, DecodeCache& cache,
                         const DecodePosition& position);
  /// Else the library's products, what stands between them in one pass each.
  DeferredSum many_rows(const Layer& layer, const DeferredSum& hidden, DecodeCache& cache,
                        const DecodePosition& position);
  void note_score(const Layer& layer, const torch::Tensor& normed_BE, DecodeCache& cache,
                  const DecodePosition& position) const;
  torch::Tensor attend(const Layer& layer, const torch::Tensor& qkv_BO, DecodeCache& cache,
                       const DecodePosition& position);
  AddNorm add_norm(const DeferredSum& hidden, const torch::Tensor& weight_E) const;
  SkinnyNorm norm(const torch::Tensor& weight_E) const;

  Llama model_;
  int64_t B_;
  std::vector<Layer> layers_;
  torch::Tensor norm_E_, head_VE_;  ///< undefined where the part does not end the model
  DecodeAttention attention_;
};

}  // namespace lococo
