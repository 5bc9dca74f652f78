#include "decode/decode_weight.h"

#include <algorithm>

#include "tensor/kit/torch.h"
#include "tensor/layers/skinny_frozen.h"
#include "tensor/layers/skinny_frozen_kernel.h"
#include "tensor/layers/swiglu.h"

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

bool DecodeWeight::takes_few_rows(const torch::Tensor& x_BE) const {
  return is_dense() ? has_skinny_kernel(x_BE) : has_skinny_frozen(x_BE, {parts_.front().matrix});
}

bool DecodeWeight::has_lora() const {
  return std::any_of(parts_.begin(), parts_.end(),
                     [](const Part& part) { return part.a_RE.defined(); });
}

void DecodeWeight::add_low_rank(torch::Tensor& y_BO, const torch::Tensor& x_BE,
                                const SkinnyNorm& norm, size_t first, size_t count) const {
  std::vector<torch::Tensor> down;
  for (size_t i = first; i < first + count; ++i)
    if (parts_[i].a_RE.defined()) down.push_back(parts_[i].a_RE);
  if (down.empty()) return;
  const auto low = skinny_linear(x_BE, norm, down);
  int64_t column = 0;
  size_t next = 0;
  for (size_t i = first; i < first + count; ++i) {
    const auto& part = parts_[i];
    const int64_t outputs = part.matrix.out_features();
    if (part.a_RE.defined())
      y_BO.narrow(/*dim=*/1, column, outputs).addmm_(low[next++], part.b_OR.t());
    column += outputs;
  }
}

torch::Tensor DecodeWeight::product(const torch::Tensor& x_BE, const SkinnyNorm& norm) const {
  constexpr auto kMost = static_cast<size_t>(kSkinnyFrozenMaxMatrices);
  std::vector<torch::Tensor> outputs;
  for (size_t i = 0; i < parts_.size();) {
    if (parts_[i].matrix.is_dense()) {
      outputs.push_back(skinny_linear(x_BE, norm, {parts_[i++].matrix.dense()})[0]);
      continue;
    }
    std::vector<FrozenMatrix> run;
    for (size_t k = i; k < parts_.size() && run.size() < kMost; ++k) {
      if (parts_[k].matrix.is_dense()) break;
      run.push_back(parts_[k].matrix);
    }
    outputs.push_back(skinny_frozen(x_BE, norm, run));
    add_low_rank(outputs.back(), x_BE, norm, i, run.size());
    i += run.size();
  }
  return outputs.size() == 1 ? outputs.front() : torch::cat(outputs, /*dim=*/1);
}

torch::Tensor DecodeWeight::product_add(const torch::Tensor& x_BE,
                                        const torch::Tensor& residual_BO) const {
  if (is_dense()) return skinny_linear_add(x_BE, dense(), residual_BO);
  TORCH_CHECK(parts_.size() == 1, "a residual is added to the output of one layer");
  auto y_BO = skinny_frozen_add(x_BE, parts_[0].matrix, residual_BO);
  add_low_rank(y_BO, x_BE, SkinnyNorm(), 0, 1);
  return y_BO;
}

torch::Tensor DecodeWeight::product_swiglu(const torch::Tensor& x_BE,
                                           const SkinnyNorm& norm) const {
  if (is_dense()) {
    const auto gate_and_up = dense().chunk(2, /*dim=*/0);
    return skinny_swiglu(x_BE, norm, gate_and_up[0], gate_and_up[1]);
  }
  if (parts_.size() == 2 && !has_lora())
    return skinny_frozen_swiglu(x_BE, norm, parts_[0].matrix, parts_[1].matrix);
  const auto gate_and_up = product(x_BE, norm).chunk(2, /*dim=*/1);
  return swiglu(gate_and_up[0], gate_and_up[1]);
}

}  // namespace lococo
