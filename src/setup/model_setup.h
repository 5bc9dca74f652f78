// From a config to a model on a device, ready to be trained or evaluated.
#pragma once

#include <torch/types.h>

#include <memory>
#include <string>

#include "core/config.h"
#include "model/llama.h"
#include "model/registry.h"

namespace lococo {

struct PreparedModel {
  Llama model{nullptr};
  std::unique_ptr<ParameterRegistry> registry;
  std::string base_fingerprint;
};

/// The shape of model.path's config.json, or model.init; with model.rope_scaling in place of its
/// own where given, and without any when the cache's keys are unrotated (their positions never
/// exceed slots + block). Throws UserError when neither is given.
ModelShape effective_shape(const Config& config);

torch::ScalarType scalar_type_of(DType dtype);

/// Builds the model on `device`: base weights, LoRA where tuned, model.adapter's weights. Frozen
/// parameters have model.dtype, what is trained is float32. Throws UserError for anything wrong
/// with the files.
PreparedModel prepare_model(const Config& config, torch::Device device);

/// The parameters by group and an estimate of the memory of one GPU, without loading anything: what
/// --dry-run prints.
std::string describe_run(const Config& config);

}  // namespace lococo
