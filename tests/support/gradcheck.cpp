#include "tests/support/gradcheck.h"

#include <cmath>
#include <sstream>

#include "tensor/kit/torch.h"
#include "tests/support/tensors.h"

namespace lococo::testing {

std::string gradient_error(const std::function<torch::Tensor()>& fn,
                           const std::vector<torch::Tensor>& inputs) {
  constexpr double kStep = 1e-6, kTolerance = 1e-6;
  const auto loss = fn();
  if (loss.scalar_type() != torch::kFloat64 || loss.dim() != 0) return "the loss is no double";
  const auto gradients = torch::autograd::grad({loss}, inputs, /*grad_outputs=*/{},
                                               /*retain_graph=*/false, /*create_graph=*/false,
                                               /*allow_unused=*/true);
  const torch::NoGradGuard no_grad;
  std::ostringstream text;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!gradients[i].defined() || gradients[i].abs().max().item<double>() == 0.0) {
      text << "no gradient reaches input " << i;
      return text.str();
    }
    auto values = inputs[i].data().flatten();
    const auto gradient = gradients[i].contiguous().flatten();
    if (!inputs[i].is_contiguous()) return "inputs must be contiguous";
    for (int64_t j = 0; j < values.numel(); ++j) {
      const double value = values[j].item<double>();
      values[j] = value + kStep;
      const double above = fn().item<double>();
      values[j] = value - kStep;
      const double below = fn().item<double>();
      values[j] = value;
      const double want = (above - below) / (2 * kStep);
      const double got = gradient[j].item<double>();
      if (std::abs(got - want) <= kTolerance + kTolerance * std::abs(want)) continue;
      text << "input " << i << inputs[i].sizes() << " element " << j << ": autograd " << got
           << ", differences " << want;
      return text.str();
    }
  }
  return "";
}

torch::Tensor weighted_sum(const torch::Tensor& x, uint64_t seed) {
  return (x * normal(x.sizes(), seed, x.scalar_type()).to(x.device())).sum();
}

}  // namespace lococo::testing
