#include "train/normalizer_range.h"

#include <cstdio>

#include "tensor/kit/torch.h"

namespace lococo {
namespace {

std::vector<torch::Tensor> trained_normalizers(const std::vector<RegisteredParameter>& parameters) {
  std::vector<torch::Tensor> normalizers;
  for (const RegisteredParameter& parameter : parameters) {
    if (parameter.trainable && parameter.group == ParameterGroup::kNormalizer)
      normalizers.push_back(parameter.tensor);
  }
  return normalizers;
}

}  // namespace

void clamp_normalizers(const std::vector<RegisteredParameter>& parameters) {
  const torch::NoGradGuard no_grad;
  const auto normalizers = trained_normalizers(parameters);
  if (normalizers.empty()) return;
  at::_foreach_clamp_min_(normalizers, 0.0);
  at::_foreach_clamp_max_(normalizers, 1.0);
}

std::string normalizer_warning(const std::vector<RegisteredParameter>& parameters) {
  const torch::NoGradGuard no_grad;
  const auto normalizers = trained_normalizers(parameters);
  if (normalizers.empty()) return "";
  const auto values = torch::cat(normalizers).flatten().cpu();
  const auto outside = (values < 0).logical_or(values > 1).sum().item<int64_t>();
  if (outside == 0) return "";
  char text[320];
  std::snprintf(text, sizeof(text),
                "%lld of %lld normalizers have left [0, 1] (%.3f to %.3f): beyond the lengths "
                "trained on the model may fail; cache.normalizer_range: unit keeps them inside",
                static_cast<long long>(outside), static_cast<long long>(values.numel()),
                values.min().item<double>(), values.max().item<double>());
  return text;
}

}  // namespace lococo
