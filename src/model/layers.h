// The small layers of LLaMA: token embedding, RMSNorm, SwiGLU feed-forward.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "core/model_shape.h"
#include "model/linear.h"

namespace lococo {

class EmbeddingImpl : public torch::nn::Module {
 public:
  EmbeddingImpl(int64_t vocab_size, int64_t width);
  torch::Tensor forward(const torch::Tensor& tokens_BL);  ///< -> [B, L, E] in the weight's dtype
  torch::Tensor weight;                                   ///< [V, E]
};
TORCH_MODULE(Embedding);

/// arXiv 1910.07467; the mean square is taken in float32, the result has the dtype of x.
class RmsNormImpl : public torch::nn::Module {
 public:
  RmsNormImpl(int64_t width, double epsilon);
  torch::Tensor forward(const torch::Tensor& x_BLE);
  torch::Tensor weight;  ///< [E]

 private:
  double epsilon_;
};
TORCH_MODULE(RmsNorm);

/// down(silu(gate(x)) * up(x)), arXiv 2002.05202.
class MlpImpl : public torch::nn::Module {
 public:
  MlpImpl(int64_t width, int64_t ffn_width);
  torch::Tensor forward(const torch::Tensor& x_BLE);
  Linear gate_proj{nullptr};
  Linear up_proj{nullptr};
  Linear down_proj{nullptr};
};
TORCH_MODULE(Mlp);

}  // namespace lococo
