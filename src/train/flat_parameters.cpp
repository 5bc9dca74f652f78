#include "train/flat_parameters.h"

#include <algorithm>
#include <utility>

#include "tensor/kit/torch.h"

namespace lococo {

FlatParameters::FlatParameters(std::vector<RegisteredParameter> trainable, int64_t parts)
    : parameters_(std::move(trainable)) {
  const torch::NoGradGuard no_grad;
  for (const RegisteredParameter& parameter : parameters_) {
    const torch::Tensor& tensor = parameter.tensor;
    TORCH_CHECK(tensor.is_leaf() && tensor.requires_grad() && tensor.numel() > 0 &&
                    tensor.scalar_type() == torch::kFloat32 &&
                    tensor.device() == parameters_.front().tensor.device(),
                parameter.name, ": a trained parameter is a float32 leaf on the model's device");
    offsets_.push_back(chunks_ * kChunk);
    chunks_ += (tensor.numel() + kChunk - 1) / kChunk;
  }
  if (parameters_.empty()) return;
  part_length_ = (chunks_ + parts - 1) / parts * kChunk;
  const auto options = parameters_.front().tensor.options().requires_grad(false);
  weights_ = torch::zeros({parts * part_length_}, options);
  const auto place = [&](const torch::Tensor& flat, size_t i) {
    const torch::Tensor& tensor = parameters_[i].tensor;
    return flat.narrow(/*dim=*/0, offsets_[i], tensor.numel()).view(tensor.sizes());
  };
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const torch::Tensor weight = place(weights_, i);
    weight.copy_(parameters_[i].tensor);
    parameters_[i].tensor.set_data(weight);  // keeps the handle that the module holds
  }
  gradients_ = torch::zeros({parts * part_length_}, options);
  for (size_t i = 0; i < parameters_.size(); ++i)
    parameters_[i].tensor.mutable_grad() = place(gradients_, i);
}

std::vector<FlatSlice> FlatParameters::slices(int64_t part) const {
  const int64_t first = part * part_length_, end = first + part_length_;
  std::vector<FlatSlice> slices;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const int64_t begin = std::max<int64_t>(0, first - offsets_[i]);
    const int64_t length = std::min(parameters_[i].tensor.numel(), end - offsets_[i]) - begin;
    if (length > 0) slices.push_back({i, begin, length});
  }
  return slices;
}

RegisteredParameter FlatParameters::view(const FlatSlice& slice) const {
  const torch::NoGradGuard no_grad;
  RegisteredParameter view = parameters_[slice.parameter];
  const torch::Tensor& whole = parameters_[slice.parameter].tensor;
  const auto of = [&](const torch::Tensor& flat) {
    const auto row = flat.narrow(0, offsets_[slice.parameter] + slice.begin, slice.length);
    return slice.length == whole.numel() ? row.view(whole.sizes()) : row;
  };
  view.tensor = of(weights_).detach().set_requires_grad(true);
  view.tensor.mutable_grad() = of(gradients_);
  return view;
}

void FlatParameters::check_in_place() const {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const torch::Tensor& tensor = parameters_[i].tensor;
    const auto is_at = [&](const torch::Tensor& there, const torch::Tensor& flat) {
      return there.defined() &&
             there.const_data_ptr() == flat.const_data_ptr<float>() + offsets_[i];
    };
    TORCH_CHECK(is_at(tensor, weights_) && is_at(tensor.grad(), gradients_), parameters_[i].name,
                ": its memory or its gradient's has moved since the optimizer was made");
  }
}

}  // namespace lococo
