#include "generate/decode_weight.h"

namespace lococo {
namespace {

torch::Tensor merged(const Linear& layer, torch::ScalarType dtype) {
  return (layer->has_lora() ? layer->merged_weight() : layer->weight.detach()).to(dtype);
}

/// The layers' weights and `below` in one matrix.
torch::Tensor joined(const std::vector<Linear>& layers, torch::ScalarType dtype,
                     const torch::Tensor& below) {
  if (layers.size() == 1 && !below.defined()) return merged(layers.front(), dtype);
  bool shared = true;
  for (const auto& layer : layers)
    shared = shared && !layer->has_lora() && layer->weight.scalar_type() == dtype;
  if (shared) return join_weights(layers, below);
  std::vector<torch::Tensor> weights;
  for (const auto& layer : layers) weights.push_back(merged(layer, dtype));
  if (below.defined()) weights.push_back(below);
  return torch::cat(weights);
}

}  // namespace

DecodeWeight::DecodeWeight(const std::vector<Linear>& layers, torch::ScalarType dtype,
                           const torch::Tensor& below) {
  torch::NoGradGuard no_grad;
  matrix_ = joined(layers, dtype, below);
}

}  // namespace lococo
