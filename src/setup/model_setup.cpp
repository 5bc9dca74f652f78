#include "setup/model_setup.h"

#include "core/error.h"
#include "core/log.h"
#include "dist/activity.h"
#include "model/parameter_kind.h"
#include "setup/memory_check.h"
#include "setup/model_parts.h"
#include "setup/model_positions.h"
#include "setup/slow_paths.h"
#include "weights/checkpoint.h"
#include "weights/conv_weights.h"
#include "weights/fingerprint.h"
#include "weights/hf_weights.h"
#include "weights/lora_adapter.h"

namespace lococo {
namespace {

/// Random convolutions beside weights that mean something: a mistake, unless they are trained now.
void warn_about_random_convolutions(const Config& config) {
  const bool has_convs = config.cache.has_convs();
  const bool has_gates = config.cache.has_retention();
  const bool trained = config.tune.conv.value_or(0.0) > 0;
  const bool loaded = !config.model.adapter.empty() && has_conv_weights(config.model.adapter);
  if (has_gates && !loaded && config.tune.retention.value_or(0.0) == 0.0) {
    log_warn(
        "cache.policy retention without taught gates: what it keeps is random; give "
        "model.adapter, or tune.retention to teach them");
  }
  const bool begins = loaded && begins_mixing_from(config.model.adapter, config.cache);
  if (!has_convs || trained || (loaded && !begins) || config.model.path.empty()) return;
  log_warn(std::string(has_gates ? "cache.mixing conv" : "cache.policy lococo") +
           " without trained convolutions: its mixed slots are random; give "
           "model.adapter, or tune.conv to train them");
}

/// Places that the base was not trained at.
void warn_about_places(const Config& config, const ModelShape& shape) {
  const CacheConfig& cache = config.cache;
  const int64_t furthest = cache.position_cap + cache.block;
  const auto known = known_positions(config, shape);
  if (cache.positions == PositionKind::kSlot || !known || furthest <= *known) return;
  // A cap has to reach over the slots and a block (config/cache_check.cpp).
  const int64_t cap = *known - cache.block;
  const std::string remedy =
      cap >= cache.slots + cache.block
          ? "use " + std::to_string(cap) + " or less"
          : "no cap helps: use fewer cache.slots or a shorter cache.block, so that slots and two "
            "blocks are " +
                std::to_string(*known) + " or less, or cache.positions slot";
  log_warn("cache.position_cap: with a block tokens stand up to " + std::to_string(furthest) +
           " places apart, the base has " + std::to_string(*known) +
           " positions, beyond which it fails; " + remedy);
}

/// Gives every parameter its device and dtype. The base's values are still to come, so its memory
/// is not copied.
void place_parameters(Llama& model, const Config& config, torch::Device device) {
  torch::NoGradGuard no_grad;
  const auto frozen = scalar_type_of(config.model.dtype);
  model->quantise_projections(config.model.base_precision, device, config.tune.any());
  for (auto& parameter : classify_parameters(model, config.tune, /*weight_decay=*/0.0)) {
    if (parameter.tensor.is_meta()) continue;  // quantised
    const auto options =
        torch::dtype(keeps_float32(parameter) ? torch::kFloat32 : frozen).device(device);
    const bool initialised = !is_of_base(kind_of_parameter(parameter.name));
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

PreparedModel prepare_model(const Config& config, torch::Device device,
                            const std::optional<LayerRange>& given) {
  const Doing doing("loading the model");
  check_backend(config, device);
  const ModelShape shape = effective_shape(config);
  const LayerRange part = given.value_or(all_layers(shape));
  check_room_for_weights(config, describe_parameters(config, shape, part), device);
  log_info(describe_rope(config));
  note_slow_paths(config, shape, device);
  PreparedModel prepared;
  prepared.model = Llama(shape, part, config.cache, config.attention, config.train.seed);
  auto& model = prepared.model;
  model->set_compute_dtype(scalar_type_of(config.model.dtype));
  place_parameters(model, config, device);
  if (config.model.path.empty()) {
    model->init_random(config.model.init_std, config.train.seed);
    prepared.base_fingerprint =
        fingerprint_of_random_base(base_shape(config), config.train.seed, config.model.init_std);
  } else {
    log_info("loading " + config.model.path);
    load_hf_weights(model, config.model.path);
    prepared.base_fingerprint = fingerprint_of_base(config.model.path);
  }
  if (!config.model.adapter.empty())
    load_trained(config.model.adapter, model, prepared.base_fingerprint);
  warn_about_random_convolutions(config);
  warn_about_places(config, shape);
  if (trains_lora(config) && !has_lora(model)) {
    model->add_lora(config.tune.lora_rank, config.tune.lora_alpha, config.tune.lora_targets,
                    config.train.seed);
  }
  prepared.registry = std::make_unique<ParameterRegistry>(
      model, config.tune, config.train.weight_decay, scalar_type_of(config.model.dtype));
  return prepared;
}

}  // namespace lococo
