#include "generate/decode_weight.h"

#include <algorithm>

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
  const bool quantised = std::any_of(layers.begin(), layers.end(),
                                     [](const auto& layer) { return layer->is_quantised(); });
  if (!quantised) {
    parts_.push_back({joined(layers, dtype, below)});
    return;
  }
  for (const auto& layer : layers) {
    parts_.push_back(layer->is_quantised() ? quantised_part(*layer, dtype)
                                           : Part{merged(layer, dtype)});
  }
  if (below.defined()) parts_.push_back({below});
}

DecodeWeight::Part DecodeWeight::quantised_part(const LinearImpl& layer, torch::ScalarType dtype) {
  Part part = {layer.frozen_weight(dtype)};
  if (!layer.has_lora()) return part;
  part.a_RE = layer.lora_A->weight.detach().to(dtype, /*non_blocking=*/false, /*copy=*/true);
  part.b_OR = (layer.lora_B->weight.detach() * layer.lora_scale()).to(dtype);
  return part;
}

const torch::Tensor& DecodeWeight::dense() const {
  TORCH_CHECK(is_dense(), "this weight is not one dense matrix");
  return parts_.front().matrix.dense();
}

torch::Tensor DecodeWeight::product(const torch::Tensor& x_BE) const {
  std::vector<torch::Tensor> outputs;
  for (const auto& part : parts_) {
    outputs.push_back(part.matrix.product(x_BE));
    if (part.a_RE.defined()) outputs.back().addmm_(at::linear(x_BE, part.a_RE), part.b_OR.t());
  }
  return outputs.size() == 1 ? outputs.front() : torch::cat(outputs, /*dim=*/1);
}

}  // namespace lococo
