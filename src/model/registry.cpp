#include "model/registry.h"

#include <array>
#include <sstream>

#include "core/error.h"
#include "model/parameter_kind.h"

namespace lococo {
namespace {

ParameterGroup group_of(const std::string& name) {
  switch (kind_of_parameter(name)) {
    case ParameterKind::kConv:
      return ParameterGroup::kConv;
    case ParameterKind::kNormalizer:
      return ParameterGroup::kNormalizer;
    case ParameterKind::kRetention:
      return ParameterGroup::kRetention;
    case ParameterKind::kLora:
      return ParameterGroup::kLora;
    case ParameterKind::kEmbedding:
      return ParameterGroup::kEmbed;
    case ParameterKind::kNorm:
      return ParameterGroup::kNorm;
    case ParameterKind::kProjection:
    case ParameterKind::kHead:
      return ParameterGroup::kBase;
  }
  return ParameterGroup::kBase;
}

/// The learning rate that the config gives a group; absent or 0: the group stays as it is.
double learning_rate(ParameterGroup group, const TuneConfig& tune) {
  switch (group) {
    case ParameterGroup::kConv:
      return tune.conv.value_or(0.0);
    case ParameterGroup::kNormalizer:
      return tune.normalizer.value_or(tune.conv.value_or(0.0));
    case ParameterGroup::kRetention:
      return tune.retention.value_or(0.0);
    case ParameterGroup::kLora:
      return tune.lora.value_or(0.0);
    case ParameterGroup::kEmbed:
      return tune.all.value_or(tune.embed.value_or(0.0));
    case ParameterGroup::kNorm:
      return tune.all.value_or(tune.norm.value_or(0.0));
    case ParameterGroup::kBase:
      return tune.all.value_or(0.0);
  }
  return 0.0;
}

bool decays(const RegisteredParameter& parameter) {
  return parameter.group != ParameterGroup::kNorm &&
         parameter.group != ParameterGroup::kNormalizer &&
         parameter.group != ParameterGroup::kRetention && !parameter.name.ends_with(".bias");
}

}  // namespace

bool keeps_float32(const RegisteredParameter& parameter) {
  return parameter.trainable || parameter.group == ParameterGroup::kRetention;
}

const char* name_of(ParameterGroup group) {
  static constexpr std::array names = {"conv",  "normalizer", "retention", "lora",
                                       "embed", "norm",       "base"};
  return names[static_cast<size_t>(group)];
}

std::vector<RegisteredParameter> classify_parameters(const NamedTensors& named,
                                                     const TuneConfig& tune, double weight_decay) {
  std::vector<RegisteredParameter> parameters;
  for (const auto& [name, tensor] : named) {
    RegisteredParameter parameter;
    parameter.name = name;
    parameter.tensor = tensor;
    parameter.group = group_of(name);
    parameter.learning_rate = learning_rate(parameter.group, tune);
    parameter.trainable = parameter.learning_rate > 0;
    parameter.weight_decay = decays(parameter) ? weight_decay : 0.0;
    parameters.push_back(parameter);
  }
  return parameters;
}

std::vector<RegisteredParameter> classify_parameters(Llama& model, const TuneConfig& tune,
                                                     double weight_decay) {
  NamedTensors named;
  for (const auto& item : model->named_parameters()) named.emplace_back(item.key(), item.value());
  return classify_parameters(named, tune, weight_decay);
}

ParameterRegistry::ParameterRegistry(Llama& model, const TuneConfig& tune, double weight_decay,
                                     torch::ScalarType frozen_dtype)
    : parameters_(classify_parameters(model, tune, weight_decay)) {
  torch::NoGradGuard no_grad;
  for (auto& parameter : parameters_) {
    // set_data keeps the handle that the module holds, so the model sees the converted tensor.
    parameter.tensor.set_data(
        parameter.tensor.data().to(keeps_float32(parameter) ? torch::kFloat32 : frozen_dtype));
    parameter.tensor.set_requires_grad(parameter.trainable);
  }
}

std::vector<RegisteredParameter> ParameterRegistry::trainable() const {
  std::vector<RegisteredParameter> result;
  for (const auto& parameter : parameters_) {
    if (parameter.trainable) result.push_back(parameter);
  }
  return result;
}

int64_t ParameterRegistry::count(bool trainable) const {
  int64_t elements = 0;
  for (const auto& parameter : parameters_) {
    if (parameter.trainable == trainable) elements += parameter.tensor.numel();
  }
  return elements;
}

std::string summarise(const std::vector<RegisteredParameter>& parameters) {
  struct Row {
    int64_t trained = 0, frozen = 0;
    double rate = 0;
  };
  std::array<Row, 7> rows;
  for (const auto& parameter : parameters) {
    auto& row = rows[static_cast<size_t>(parameter.group)];
    (parameter.trainable ? row.trained : row.frozen) += parameter.tensor.numel();
    if (parameter.trainable) row.rate = parameter.learning_rate;
  }
  std::ostringstream text;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto& row = rows[i];
    const char* name = name_of(static_cast<ParameterGroup>(i));
    if (row.trained > 0)
      text << "  trained  " << name << ": " << row.trained << " parameters, learning rate "
           << row.rate << "\n";
    if (row.frozen > 0) text << "  frozen   " << name << ": " << row.frozen << " parameters\n";
  }
  int64_t trained = 0, frozen = 0;
  for (const auto& row : rows) {
    trained += row.trained;
    frozen += row.frozen;
  }
  text << "  total    trained " << trained << ", frozen " << frozen;
  return text.str();
}

}  // namespace lococo
