#include "train/stage_checkpoint.h"

#include <map>
#include <set>
#include <vector>

#include "setup/model_parts.h"
#include "tensor/kit/torch.h"
#include "weights/lora_adapter.h"

namespace lococo {
namespace {

/// The first stage that holds a parameter.
int owner_of(const std::string& name, const std::vector<LayerRange>& parts) {
  for (size_t stage = 0; stage < parts.size(); ++stage)
    if (!parts[stage].is_elsewhere(name)) return static_cast<int>(stage);
  TORCH_CHECK(false, name, ": no stage holds it");
}

class StagesCheckpoint {
 public:
  StagesCheckpoint(const Config& config, PreparedModel& own, Pipeline& pipeline)
      : config_(config),
        own_(own),
        stages_(pipeline.stages()),
        all_(describe_parameters(config, own.model->shape(), all_layers(own.model->shape()))) {
    const auto parts = stages_of(config, own.model->shape());
    for (const auto& parameter : all_)
      places_[parameter.name] = {&parameter, owner_of(parameter.name, parts), {}};
    for (const auto& parameter : own.registry->all())
      places_.at(parameter.name).own_values = parameter.tensor;
  }

  std::string save(const CheckpointState& state, const StateToSave& own_state) {
    const std::set<std::string> written = checkpoint_parameters(state, all_);
    StateToSave whole_state = state_of_all(own_state);
    if (!stages_.is_main()) {
      for (const auto& parameter : all_)
        if (written.count(parameter.name) > 0) collect(parameter.name);
      for (size_t i = 0; i < whole_state.tensors.size(); ++i) whole_state.fetch(i);
      return "";
    }
    // A model of all layers, of whose parameters those that are written have values; the memory of
    // the others is never touched.
    Llama whole(own_.model->shape(), config_.cache, config_.attention, config_.train.seed);
    add_lora(whole);
    const ParameterRegistry registry(whole, config_.tune, config_.train.weight_decay,
                                     torch::kFloat32);
    for (const auto& parameter : registry.all()) {
      if (written.count(parameter.name) == 0) continue;
      torch::Tensor handle = parameter.tensor;
      handle.set_data(collect(parameter.name));
    }
    return save_checkpoint(config_.train.output, config_.checkpoint, state, whole, registry,
                           whole_state);
  }

 private:
  struct Place {
    const RegisteredParameter* described = nullptr;
    int owner = 0;             ///< the stage that tells the others
    torch::Tensor own_values;  ///< undefined where this stage holds none
  };

  void add_lora(Llama& whole) {
    const LoraShape lora = lora_shape(config_);
    if (lora.rank == 0) return;
    double alpha = 0.0;
    for (const auto& [name, layer] : own_.model->linear_layers())
      if (layer->has_lora()) alpha = layer->lora_scale() * static_cast<double>(lora.rank);
    whole->add_lora(lora.rank, alpha, lora.targets, /*seed=*/0);
  }

  /// A parameter's values on the CPU, on every stage: the one that has them tells the others.
  torch::Tensor collect(const std::string& name) {
    torch::NoGradGuard no_grad;
    const Place& place = places_.at(name);
    const RegisteredParameter& parameter = *place.described;
    torch::Tensor values;
    if (place.owner == stages_.rank()) {
      values = place.own_values.detach().cpu().contiguous();
    } else {
      const auto dtype =
          keeps_float32(parameter) ? torch::kFloat32 : scalar_type_of(config_.model.dtype);
      values = torch::empty(parameter.tensor.sizes(), dtype);
    }
    stages_.broadcast(values, place.owner);
    return values;
  }

  /// The optimizer's state of all stages, as StateToSave of one rank: names and their order are
  /// the same on all stages, which fetch together.
  StateToSave state_of_all(const StateToSave& own) {
    StateToSave whole;
    std::vector<int> owners;
    std::map<std::string, int> owner_by_name;
    std::map<std::string, std::vector<int64_t>> shapes;
    for (const auto& parameter : all_) {
      if (!parameter.trainable) continue;
      const auto shape = parameter.tensor.sizes().vec();
      for (const char* moment : {".m", ".v"}) shapes[parameter.name + moment] = shape;
      shapes[parameter.name + ".step"] = {};
      for (const char* what : {".m", ".v", ".step"})
        owner_by_name[parameter.name + what] = places_.at(parameter.name).owner;
    }
    int64_t bad = -1;
    for (const auto& [name, shape] : shapes) {
      if (name == own.not_finite) bad = static_cast<int64_t>(whole.tensors.size());
      whole.tensors.push_back({name, shape});
      owners.push_back(owner_by_name[name]);
    }
    bad = stages_.all_reduce_max_int(bad);
    if (bad >= 0) whole.not_finite = whole.tensors[static_cast<size_t>(bad)].name;
    std::map<std::string, size_t> own_places;
    for (size_t i = 0; i < own.tensors.size(); ++i) own_places[own.tensors[i].name] = i;
    whole.fetch = [this, own, owners, own_places, entries = whole.tensors](size_t i) {
      torch::Tensor tensor = owners[i] == stages_.rank() ? own.fetch(own_places.at(entries[i].name))
                                                         : torch::empty(entries[i].shape);
      stages_.broadcast(tensor, owners[i]);
      return tensor;
    };
    return whole;
  }

  const Config& config_;
  PreparedModel& own_;
  Communicator& stages_;
  std::vector<RegisteredParameter> all_;  ///< of the whole model
  std::map<std::string, Place> places_;   ///< by a parameter's name
};

}  // namespace

std::string save_stages(const Config& config, const CheckpointState& state, PreparedModel& own,
                        const StateToSave& own_state, Pipeline& pipeline) {
  return StagesCheckpoint(config, own, pipeline).save(state, own_state);
}

}  // namespace lococo
