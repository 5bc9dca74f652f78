// From a config to a model on a device, ready to be trained or evaluated.
#pragma once

#include <torch/types.h>

#include <memory>
#include <optional>
#include <string>

#include "config/config.h"
#include "model/layer_range.h"
#include "model/llama.h"
#include "model/registry.h"

namespace lococo {

struct PreparedModel {
  Llama model{nullptr};
  std::unique_ptr<ParameterRegistry> registry;
  std::string base_fingerprint;
};

torch::ScalarType scalar_type_of(DType dtype);

/// Builds the model on `device`: base weights, model.adapter's weights, fresh LoRA where tune.lora
/// trains it and the adapter has none. Frozen parameters have model.dtype or, as
/// model.base_precision says, are quantised while they are loaded; what is trained is float32. Logs
/// a warning for convolutions that are neither loaded nor trained. Throws UserError for anything
/// wrong with the files, and for weights that the device has no room for. `part`: a stage's layers
/// alone are built and loaded.
PreparedModel prepare_model(const Config& config, torch::Device device,
                            const std::optional<LayerRange>& part = std::nullopt);

}  // namespace lococo
