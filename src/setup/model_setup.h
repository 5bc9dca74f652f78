// From a config to a model on a device, ready to be trained or evaluated.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "model/layer_range.h"
#include "model/llama.h"
#include "model/parameter_list.h"
#include "model/registry.h"

namespace lococo {

struct PreparedModel {
  Llama model{nullptr};
  std::unique_ptr<ParameterRegistry> registry;
  std::string base_fingerprint;
};

/// The LoRA that prepare_model() gives the model: that of model.adapter, else a fresh one where
/// tune.lora trains it. Throws UserError when tune.lora trains an adapter's LoRA and tune.lora_*
/// differ from it.
LoraShape lora_shape(const Config& config);

torch::ScalarType scalar_type_of(DType dtype);

/// Builds the model on `device`: base weights, model.adapter's weights, fresh LoRA where tune.lora
/// trains it and the adapter has none. Frozen parameters have model.dtype or, as
/// model.base_precision says, are quantised while they are loaded; what is trained is float32. Logs
/// a warning for convolutions that are neither loaded nor trained. Throws UserError for anything
/// wrong with the files, and for weights that the device has no room for. `part`: a stage's layers
/// alone are built and loaded.
PreparedModel prepare_model(const Config& config, torch::Device device,
                            const std::optional<LayerRange>& part = std::nullopt);

/// The layers of each stage of distributed.pipeline. Throws UserError for a model that cannot be
/// divided so.
std::vector<LayerRange> stages_of(const Config& config, const ModelShape& shape);

/// Every parameter of the whole model, whatever part of it is here, with its group.
std::vector<RegisteredParameter> describe_parameters(const Config& config, const ModelShape& shape);

/// The parameters by group, the RoPE scaling and an estimate of the memory of one GPU (of a
/// pipeline the one that needs the most), with a warning when this machine has less; builds and
/// loads nothing: what --dry-run prints.
std::string describe_run(const Config& config);

/// Logs a warning when a training as the config says needs more memory than `device` has, on any
/// stage of a pipeline.
void warn_about_memory(const Config& config, torch::Device device);

}  // namespace lococo
