#include "pass/recorded_model.h"

#include <utility>

#include "tensor/kit/cuda_graph.h"

namespace lococo {
namespace {

/// Of parameters and gradients.
std::vector<const void*> addresses_of(Llama& model) {
  std::vector<const void*> addresses;
  for (const auto& parameter : model->parameters()) {
    if (parameter.is_meta()) continue;  // quantised: its parts follow
    addresses.push_back(parameter.const_data_ptr());
    const auto& gradient = parameter.grad();
    addresses.push_back(gradient.defined() ? gradient.const_data_ptr() : nullptr);
  }
  for (const auto& [name, layer] : model->quantised_layers()) {
    for (const auto& part : layer->frozen_weight(model->compute_dtype()).parts())
      addresses.push_back(part.const_data_ptr());
  }
  return addresses;
}

bool gradients_exist(Llama& model) {
  for (const auto& parameter : model->parameters()) {
    if (parameter.requires_grad() && !parameter.grad().defined()) return false;
  }
  return true;
}

}  // namespace

bool RecordedModel::has_moved(Llama& model) {
  auto addresses = addresses_of(model);
  if (addresses == addresses_) return false;
  addresses_ = std::move(addresses);
  return true;
}

bool may_record(Llama& model, torch::Device device, bool train) {
  return CapturedGraph::available(device) && (!train || gradients_exist(model));
}

}  // namespace lococo
