#include "model/linear.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <cmath>

#include "tensor/layers/frozen_linear.h"

namespace lococo {

LowRankFactorImpl::LowRankFactorImpl(torch::Tensor initial) {
  weight = register_parameter("weight", std::move(initial));
}

LinearImpl::LinearImpl(int64_t in_features, int64_t out_features) {
  weight = register_parameter("weight", torch::empty({out_features, in_features}));
}

void LinearImpl::add_lora(int64_t rank, double alpha, uint64_t seed) {
  TORCH_CHECK(!has_lora(), "this layer has LoRA already");
  const int64_t in_features = weight.size(1), out_features = weight.size(0);
  auto generator = at::detail::createCPUGenerator(seed);
  // Kaiming uniform with a = sqrt(5), which is PEFT's default for A; B starts at zero, so that
  // nothing changes at first.
  const double bound = 1.0 / std::sqrt(static_cast<double>(in_features));
  const auto initial_a = torch::empty({rank, in_features}).uniform_(-bound, bound, generator);
  const auto options = torch::dtype(torch::kFloat32).device(device());
  lora_A = register_module("lora_A", LowRankFactor(initial_a.to(options)));
  lora_B = register_module("lora_B", LowRankFactor(torch::zeros({out_features, rank}, options)));
  lora_scale_ = alpha / static_cast<double>(rank);
}

void LinearImpl::keep_quantised(BasePrecision precision, torch::Device device, bool gradients) {
  TORCH_CHECK(precision != BasePrecision::kAuto, "want a precision that quantises");
  precision_ = precision;
  device_ = device;
  gradients_ = gradients;
  quantised_ = {};
  weight = torch::empty(weight.sizes(), weight.options().device(torch::kMeta));
  parameters_["weight"] = weight;
}

void LinearImpl::fill(const torch::Tensor& values) {
  torch::NoGradGuard no_grad;
  TORCH_CHECK(values.sizes() == weight.sizes(), "want values of ", weight.sizes(), ", got ",
              values.sizes());
  if (!is_quantised()) {
    weight.copy_(values);
  } else {
    quantised_ = quantise(values.to(device_), precision_, gradients_);
  }
}

int64_t LinearImpl::weight_bytes() const {
  return is_quantised() ? quantised_.bytes() : static_cast<int64_t>(weight.nbytes());
}

bool LinearImpl::is_frozen(torch::ScalarType dtype) const {
  return is_quantised() || (!weight.requires_grad() && weight.scalar_type() == dtype);
}

FrozenMatrix LinearImpl::frozen_weight(torch::ScalarType dtype) const {
  if (!is_quantised()) return weight.to(dtype);
  TORCH_CHECK(quantised_.defined(), "a quantised layer before its values have come");
  return quantised_;
}

torch::Tensor LinearImpl::merged_weight() const {
  torch::NoGradGuard no_grad;
  const auto base = is_quantised() ? quantised_.dequantised(torch::kFloat32)
                                   : weight.detach().to(torch::kFloat32);
  if (!has_lora()) return base;
  return base + lora_scale_ * torch::mm(lora_B->weight.to(torch::kFloat32),
                                        lora_A->weight.to(torch::kFloat32));
}

torch::Tensor LinearImpl::forward(const torch::Tensor& x) {
  const auto dtype = x.scalar_type();
  if (weight.requires_grad()) {
    const auto y = at::linear(x, weight.to(dtype));
    if (!lora_counts()) return y;
    const auto low_rank = at::linear(x, lora_A->weight.to(dtype));
    return y + at::linear(low_rank, lora_B->weight.to(dtype)) * lora_scale_;
  }
  FrozenProjections self = {{frozen_weight(dtype)}, {}, {}, lora_scale_};
  if (lora_counts()) {
    self.a_RE = {lora_A->weight};
    self.b_OR = {lora_B->weight};
  }
  return frozen_projections(x, self)[0];
}

std::vector<torch::Tensor> project_all(const std::vector<Linear>& layers, const torch::Tensor& x) {
  FrozenProjections all;
  all.scale = layers.front()->lora_scale();
  bool alike = true;
  for (const auto& layer : layers) {
    alike = alike && !layer->weight.requires_grad() && layer->lora_scale() == all.scale;
    if (!alike) break;
    all.weights_OE.push_back(layer->frozen_weight(x.scalar_type()));
    if (!layer->lora_counts()) continue;
    all.a_RE.push_back(layer->lora_A->weight);
    all.b_OR.push_back(layer->lora_B->weight);
    alike = alike && all.a_RE.back().size(0) == all.a_RE.front().size(0);
  }
  if (alike && (all.a_RE.empty() || all.a_RE.size() == layers.size()))
    return frozen_projections(x, all);
  std::vector<torch::Tensor> outputs;
  for (auto layer : layers) outputs.push_back(layer->forward(x));
  return outputs;
}

torch::Tensor join_weights(const std::vector<Linear>& layers, const torch::Tensor& below) {
  torch::NoGradGuard no_grad;
  const auto first = layers.front()->weight.detach();
  std::vector<torch::Tensor> weights;
  int64_t rows = 0;
  bool joined = !below.defined();
  for (const auto& layer : layers) {
    TORCH_CHECK(!layer->is_quantised(), "quantised weights are not joined");
    const auto& weight = layer->weight;
    joined = joined && weight.is_contiguous() && weight.is_alias_of(first) &&
             weight.storage_offset() == first.storage_offset() + rows * first.size(1);
    rows += weight.size(0);
    weights.push_back(weight.detach());
  }
  if (joined)
    return first.as_strided({rows, first.size(1)}, {first.size(1), 1}, first.storage_offset());
  if (below.defined()) weights.push_back(below);
  const auto all = torch::cat(weights);
  int64_t row = 0;
  for (const auto& layer : layers) {
    const int64_t own = layer->weight.size(0);
    layer->weight.set_data(all.narrow(/*dim=*/0, row, own));
    row += own;
  }
  return all;
}

}  // namespace lococo
