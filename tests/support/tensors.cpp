#include "tests/support/tensors.h"

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <sstream>

#include "tensor/kit/torch.h"

namespace lococo::testing {

Tolerance tolerance_of(torch::ScalarType dtype) {
  switch (dtype) {
    case torch::kFloat64:
      return {1e-10, 1e-10};
    case torch::kFloat32:
      return {1e-5, 1e-5};
    case torch::kFloat16:
      return {5e-3, 5e-3};
    case torch::kBFloat16:
      return {4e-2, 4e-2};
    default:
      return {0.0, 0.0};
  }
}

std::string difference(const torch::Tensor& got, const torch::Tensor& want, double factor) {
  std::ostringstream text;
  if (!got.defined() || !want.defined()) return got.defined() == want.defined() ? "" : "undefined";
  if (got.sizes() != want.sizes()) {
    text << "got shape " << got.sizes() << ", want " << want.sizes();
    return text.str();
  }
  if (got.numel() == 0) return "";
  const Tolerance a = tolerance_of(got.scalar_type()), b = tolerance_of(want.scalar_type());
  const double absolute = factor * std::max(a.absolute, b.absolute);
  const double relative = factor * std::max(a.relative, b.relative);
  const auto x = got.detach().cpu().to(torch::kFloat64).flatten();
  const auto y = want.detach().cpu().to(torch::kFloat64).flatten();
  if (torch::allclose(x, y, relative, absolute)) return "";

  const auto error = (x - y).abs().nan_to_num(/*nan=*/INFINITY);
  const auto worst = error.argmax().item<int64_t>();
  const double largest = (error / (y.abs() + absolute)).max().item<double>();
  text << got.scalar_type() << got.sizes() << ": largest difference " << error[worst].item<double>()
       << " at element " << worst << ", got " << x[worst].item<double>() << ", want "
       << y[worst].item<double>() << " (relative, at most " << largest << "); allowed " << absolute
       << " + " << relative << " x |want|";
  return text.str();
}

torch::Tensor normal(at::IntArrayRef sizes, uint64_t seed, torch::ScalarType dtype) {
  auto generator = at::detail::createCPUGenerator(seed);
  return torch::empty(sizes, torch::kFloat64).normal_(0.0, 1.0, generator).to(dtype);
}

double relative_error(const torch::Tensor& got, const torch::Tensor& want) {
  const auto exact = want.to(torch::kFloat64);
  return ((got.to(torch::kFloat64) - exact).norm() / exact.norm()).item<double>();
}

}  // namespace lococo::testing
