#include "setup/model_setup.h"

#include "core/error.h"
#include "core/hf_config.h"
#include "core/log.h"
#include "setup/memory_estimate.h"
#include "weights/checkpoint.h"
#include "weights/fingerprint.h"
#include "weights/hf_weights.h"

namespace lococo {
namespace {

Llama build_model(const Config& config, const ModelShape& shape) {
  Llama model(shape, config.cache, config.attention, config.train.seed);
  model->set_compute_dtype(scalar_type_of(config.model.dtype));
  if (config.tune.lora.value_or(0.0) > 0 && config.model.adapter.empty()) {
    model->add_lora(config.tune.lora_rank, config.tune.lora_alpha, config.tune.lora_targets,
                    config.train.seed);
  }
  return model;
}

/// Gives every parameter its device and dtype. The base's values are still to come, so its memory
/// is not copied.
void place_parameters(Llama& model, const Config& config, torch::Device device) {
  torch::NoGradGuard no_grad;
  const auto frozen = scalar_type_of(config.model.dtype);
  for (auto& parameter : classify_parameters(model, config.tune, /*weight_decay=*/0.0)) {
    const auto options =
        torch::dtype(parameter.trainable ? torch::kFloat32 : frozen).device(device);
    const bool initialised = parameter.group == ParameterGroup::kConv ||
                             parameter.group == ParameterGroup::kNormalizer ||
                             parameter.group == ParameterGroup::kLora;
    parameter.tensor.set_data(initialised ? parameter.tensor.data().to(options)
                                          : torch::empty(parameter.tensor.sizes(), options));
  }
}

/// The fused kernels of a GPU read half precision only, and cuDNN runs nowhere else.
void check_backend(const Config& config, torch::Device device) {
  const auto backend = config.attention.backend;
  const bool fused_on_gpu = device.is_cuda() && (backend == AttentionBackend::kFlash ||
                                                 backend == AttentionBackend::kCudnn);
  if (backend == AttentionBackend::kCudnn && !device.is_cuda()) {
    throw UserError("attention.backend: cudnn needs a GPU, this run is on " + device.str() +
                    "; use auto");
  }
  if (fused_on_gpu && config.model.dtype != DType::kBFloat16) {
    throw UserError(
        "attention.backend: flash and cudnn on a GPU need model.dtype: bfloat16; use auto");
  }
  if (backend == AttentionBackend::kCudnn && config.train.deterministic) {
    throw UserError(
        "attention.backend: cudnn's backward pass gives other bits in every run; use auto or flash "
        "with train.deterministic");
  }
}

}  // namespace

torch::ScalarType scalar_type_of(DType dtype) {
  return dtype == DType::kBFloat16 ? torch::kBFloat16 : torch::kFloat32;
}

ModelShape effective_shape(const Config& config) {
  ModelShape shape = config.model.init;
  if (!config.model.path.empty()) {
    shape = read_hf_config(config.model.path);
  } else if (shape.vocab_size == 0) {
    throw UserError(
        "model.path: no model given; set it to a Hugging Face folder, or model.init to the shape "
        "of a new model");
  }
  shape.resolve_defaults();
  if (config.model.rope_scaling) shape.rope_scaling = *config.model.rope_scaling;
  if (config.cache.policy != CachePolicyKind::kNone && config.cache.keys == KeyKind::kUnrotated)
    shape.rope_scaling = RopeScaling{};
  return shape;
}

PreparedModel prepare_model(const Config& config, torch::Device device) {
  check_backend(config, device);
  PreparedModel prepared;
  prepared.model = build_model(config, effective_shape(config));
  auto& model = prepared.model;
  place_parameters(model, config, device);
  if (config.model.path.empty()) {
    model->init_random(config.model.init_std, config.train.seed);
    prepared.base_fingerprint =
        fingerprint_of_random_base(model->shape(), config.train.seed, config.model.init_std);
  } else {
    log_info("loading " + config.model.path);
    load_hf_weights(model, config.model.path);
    prepared.base_fingerprint = fingerprint_of_base(config.model.path);
  }
  if (!config.model.adapter.empty()) {
    load_trained(config.model.adapter, model, prepared.base_fingerprint);
    model->to(device);  // LoRA factors that the adapter added
  }
  prepared.registry = std::make_unique<ParameterRegistry>(
      model, config.tune, config.train.weight_decay, scalar_type_of(config.model.dtype));
  return prepared;
}

std::string describe_run(const Config& config) {
  const auto shape = effective_shape(config);
  auto model = build_model(config, shape);
  const auto parameters = classify_parameters(model, config.tune, config.train.weight_decay);
  return summarise(parameters) + "\n" + estimate_memory(config, shape, parameters).text();
}

}  // namespace lococo
