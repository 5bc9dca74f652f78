#include "train/normalizer_range.h"

#include <algorithm>
#include <cstdio>

#include "dist/activity.h"
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

NormalizerSpread spread_of_normalizers(const std::vector<RegisteredParameter>& parameters) {
  const torch::NoGradGuard no_grad;
  const auto normalizers = trained_normalizers(parameters);
  if (normalizers.empty()) return {};
  const auto values = torch::cat(normalizers).flatten().cpu();
  return {values.numel(), (values < 0).logical_or(values > 1).sum().item<int64_t>(),
          values.min().item<double>(), values.max().item<double>()};
}

NormalizerSpread spread_over(Communicator& ranks, const NormalizerSpread& own) {
  const Doing doing("normalizers");
  // Numbers can be summed over ranks only: each puts its ends into places of its own.
  const auto rank = static_cast<size_t>(ranks.rank()), size = static_cast<size_t>(ranks.size());
  std::vector<double> ends(2 * size);
  ends[rank] = own.least;
  ends[size + rank] = own.most;
  std::vector<int64_t> counts = {own.count, own.outside};
  ranks.all_reduce_sum_numbers(ends, counts);
  const auto middle = ends.begin() + static_cast<std::ptrdiff_t>(size);
  return {counts[0], counts[1], *std::min_element(ends.begin(), middle),
          *std::max_element(middle, ends.end())};
}

std::string normalizer_warning(const NormalizerSpread& spread) {
  if (spread.outside == 0) return "";
  char text[320];
  std::snprintf(text, sizeof(text),
                "%lld of %lld normalizers have left [0, 1] (%.3f to %.3f): beyond the lengths "
                "trained on the model may fail; cache.normalizer_range: unit keeps them inside",
                static_cast<long long>(spread.outside), static_cast<long long>(spread.count),
                spread.least, spread.most);
  return text;
}

}  // namespace lococo
