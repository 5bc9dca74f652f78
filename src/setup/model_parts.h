// How a model is divided: the layers of a pipeline's stages, and the parameters of each.
#pragma once

#include <vector>

#include "config/config.h"
#include "core/model_shape.h"
#include "model/layer_range.h"
#include "model/parameter_list.h"
#include "model/registry.h"

namespace lococo {

/// Whether tune.lora trains an adapter's LoRA, or a fresh one.
bool trains_lora(const Config& config);

/// The LoRA that prepare_model() gives the model: that of model.adapter, else a fresh one where
/// tune.lora trains it. Throws UserError when tune.lora trains an adapter's LoRA and tune.lora_*
/// differ from it.
LoraShape lora_shape(const Config& config);

/// The layers of each stage of distributed.pipeline. Throws UserError for a model that cannot be
/// divided so.
std::vector<LayerRange> stages_of(const Config& config, const ModelShape& shape);

/// Every parameter of `part` with its group, whatever part of the model is here.
std::vector<RegisteredParameter> describe_parameters(const Config& config, const ModelShape& shape,
                                                     const LayerRange& part);

}  // namespace lococo
