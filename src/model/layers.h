// The small layers of LLaMA: token embedding, RMSNorm, SwiGLU feed-forward.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include "core/model_shape.h"
#include "model/linear.h"
#include "tensor/layers/frozen_mlp.h"
#include "tensor/layers/rms_norm.h"

namespace lococo {

class EmbeddingImpl : public torch::nn::Module {
 public:
  EmbeddingImpl(int64_t vocab_size, int64_t width);
  /// tokens_BL int64 -> [B, L, E] of `dtype`; embedding() says where the gradient goes.
  torch::Tensor forward(const torch::Tensor& tokens_BL, torch::ScalarType dtype);
  torch::Tensor weight;  ///< [V, E]
};
TORCH_MODULE(Embedding);

/// A hidden state whose last addition waits: the next norm takes it in its own pass over memory.
struct DeferredSum {
  torch::Tensor residual_BLE;
  torch::Tensor delta_BLE = {};  ///< undefined: nothing to add

  torch::Tensor sum() const {
    return delta_BLE.defined() ? residual_BLE + delta_BLE : residual_BLE;
  }
};

/// arXiv 1910.07467; the mean square is taken in float32, the result has the dtype of x.
class RmsNormImpl : public torch::nn::Module {
 public:
  RmsNormImpl(int64_t width, double epsilon);
  torch::Tensor forward(const torch::Tensor& x_BLE);
  /// The sum of `hidden`, which is carried out here, and its norm.
  AddNorm add_norm(const DeferredSum& hidden);
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

  /// Whether no weight is trained and none has LoRA, and all have the dtype given.
  bool is_frozen(torch::ScalarType dtype) const;
  /// The weights of one that is frozen in `dtype`, for several products (for_products()).
  FrozenMlp frozen(torch::ScalarType dtype) const;

  Linear gate_proj{nullptr};
  Linear up_proj{nullptr};
  Linear down_proj{nullptr};
};
TORCH_MODULE(Mlp);

}  // namespace lococo
