#include "model/layers.h"

#include <torch/types.h>

#include "tensor/layers/embedding.h"
#include "tensor/layers/swiglu.h"

namespace lococo {

EmbeddingImpl::EmbeddingImpl(int64_t vocab_size, int64_t width) {
  weight = register_parameter("weight", torch::empty({vocab_size, width}));
}

torch::Tensor EmbeddingImpl::forward(const torch::Tensor& tokens_BL, torch::ScalarType dtype) {
  return embedding(weight, tokens_BL, dtype);
}

RmsNormImpl::RmsNormImpl(int64_t width, double epsilon) : epsilon_(epsilon) {
  weight = register_parameter("weight", torch::ones({width}));
}

torch::Tensor RmsNormImpl::forward(const torch::Tensor& x_BLE) {
  return rms_norm(x_BLE, weight, epsilon_);
}

AddNorm RmsNormImpl::add_norm(const DeferredSum& hidden) {
  if (!hidden.delta_BLE.defined()) return {hidden.residual_BLE, forward(hidden.residual_BLE)};
  return add_rms_norm(hidden.residual_BLE, hidden.delta_BLE, weight, epsilon_);
}

MlpImpl::MlpImpl(int64_t width, int64_t ffn_width) {
  gate_proj = register_module("gate_proj", Linear(width, ffn_width));
  up_proj = register_module("up_proj", Linear(width, ffn_width));
  down_proj = register_module("down_proj", Linear(ffn_width, width));
}

bool MlpImpl::is_frozen(torch::ScalarType dtype) const {
  for (const auto& layer : {gate_proj, up_proj, down_proj}) {
    if (layer->has_lora() || !layer->is_frozen(dtype)) return false;
  }
  return true;
}

FrozenMlp MlpImpl::frozen(torch::ScalarType dtype) const {
  TORCH_CHECK(is_frozen(dtype), "this feed-forward is not frozen");
  const auto weight = [dtype](const Linear& layer) {
    return layer->frozen_weight(dtype).for_products(dtype);
  };
  return {weight(gate_proj), weight(up_proj), weight(down_proj)};
}

torch::Tensor MlpImpl::forward(const torch::Tensor& x_BLE) {
  const auto dtype = x_BLE.scalar_type();
  if (is_frozen(dtype)) {
    return frozen_mlp(x_BLE, gate_proj->frozen_weight(dtype), up_proj->frozen_weight(dtype),
                      down_proj->frozen_weight(dtype));
  }
  const auto gate_and_up = project_all({gate_proj, up_proj}, x_BLE);
  return down_proj->forward(swiglu(gate_and_up[0], gate_and_up[1]));
}

}  // namespace lococo
