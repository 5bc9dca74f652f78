#include "tests/support/quantised_llama.h"

#include "tensor/kit/torch.h"
#include "tests/support/tensors.h"

namespace lococo::testing {
namespace {

void prepare(TrainedModel& trained, const std::vector<std::string>& targets,
             torch::ScalarType dtype) {
  auto& model = trained.model;
  if (!targets.empty()) model->add_lora(/*rank=*/2, /*alpha=*/4.0, targets, /*seed=*/5);
  {
    const torch::NoGradGuard no_grad;
    for (auto& item : model->named_parameters()) {
      if (item.key().find("lora_B") == std::string::npos) continue;
      item.value().add_(0.1 * normal(item.value().sizes(), 6).to(item.value().device()));
    }
  }
  model->set_compute_dtype(dtype);
  TuneConfig tune;
  tune.conv = tune.lora = tune.embed = tune.norm = 1.0;
  trained.registry = std::make_unique<ParameterRegistry>(model, tune, 0.0, dtype);
}

}  // namespace

TensorMap TrainedModel::gradients() const {
  TensorMap gradients;
  for (const auto& parameter : registry->trainable()) {
    if (parameter.tensor.grad().defined())
      gradients[parameter.name] = parameter.tensor.grad().detach().clone();
  }
  return gradients;
}

ModelShape shape_of_kernels() {
  auto shape = tiny_shape();
  shape.hidden_size = 256;
  shape.intermediate_size = 384;
  shape.head_dim = 64;
  return shape;
}

CacheConfig cache_of_kernels() {
  auto cache = tiny_cache();
  cache.slots = cache.block = 64;
  cache.sinks = 2;
  cache.local = 8;
  cache.init = ConvInit::kFanIn;
  return cache;
}

QuantisedPair::QuantisedPair(const std::vector<std::string>& targets, torch::ScalarType dtype,
                             const CacheConfig& cache, const ModelShape& shape,
                             torch::Device device, BasePrecision precision) {
  torch::set_num_threads(1);  // at this size threads only wait for each other
  for (auto* trained : {&quantised, &dense}) {
    trained->model = Llama(shape, cache, AttentionConfig{}, /*init_seed=*/3);
    trained->model->to(device);
  }
  quantised.model->quantise_projections(precision, device, /*gradients=*/true);
  quantised.model->init_random(0.1, 3);
  dense.model->init_random(0.1, 3);
  const auto layers = dense.model->linear_layers();
  for (const auto& [name, layer] : quantised.model->linear_layers()) {
    if (layer->is_quantised())
      layers.at(name)->fill(layer->frozen_weight(dtype).dequantised(torch::kFloat32));
  }
  prepare(quantised, targets, dtype);
  prepare(dense, targets, dtype);
}

}  // namespace lococo::testing
