#include "setup/check_inputs.h"

#include "model/parameter_kind.h"
#include "setup/model_parts.h"
#include "setup/model_positions.h"
#include "weights/checkpoint.h"
#include "weights/fingerprint.h"
#include "weights/hf_weights.h"

namespace lococo {

std::string known_base_fingerprint(const Config& config) {
  const ModelConfig& model = config.model;
  if (!model.path.empty()) return "";
  return fingerprint_of_random_base(base_shape(config), config.train.seed, model.init_std);
}

void check_inputs(const Config& given) {
  Config config = given;
  config.tune = TuneConfig();  // fresh LoRA comes after the adapter, which need not have it
  const ModelShape shape = effective_shape(config);
  TensorMap parameters, base;
  for (const auto& [name, tensor] : list_parameters(shape, config.cache, lora_shape(config))) {
    parameters[name] = tensor;
    if (is_of_base(kind_of_parameter(name))) base[name] = tensor;
  }
  const ModelConfig& model = config.model;
  if (!model.path.empty()) check_hf_weights(base, model.path);
  if (model.adapter.empty()) return;
  check_trained(model.adapter, parameters, config.cache, known_base_fingerprint(config));
}

}  // namespace lococo
