#include "model/layers.h"

#include <torch/types.h>

namespace lococo {

EmbeddingImpl::EmbeddingImpl(int64_t vocab_size, int64_t width) {
  weight = register_parameter("weight", torch::empty({vocab_size, width}));
}

torch::Tensor EmbeddingImpl::forward(const torch::Tensor& tokens_BL) {
  return torch::embedding(weight, tokens_BL);
}

RmsNormImpl::RmsNormImpl(int64_t width, double epsilon) : epsilon_(epsilon) {
  weight = register_parameter("weight", torch::ones({width}));
}

torch::Tensor RmsNormImpl::forward(const torch::Tensor& x_BLE) {
  const auto wide = x_BLE.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const auto x = x_BLE.to(wide);
  const auto inverse = torch::rsqrt(x.square().mean(/*dim=*/-1, /*keepdim=*/true) + epsilon_);
  return (weight.to(wide) * (x * inverse)).to(x_BLE.scalar_type());
}

MlpImpl::MlpImpl(int64_t width, int64_t ffn_width) {
  gate_proj = register_module("gate_proj", Linear(width, ffn_width));
  up_proj = register_module("up_proj", Linear(width, ffn_width));
  down_proj = register_module("down_proj", Linear(ffn_width, width));
}

torch::Tensor MlpImpl::forward(const torch::Tensor& x_BLE) {
  return down_proj->forward(torch::silu(gate_proj->forward(x_BLE)) * up_proj->forward(x_BLE));
}

}  // namespace lococo
