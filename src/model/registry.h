// The list of a model's parameters that optimizer, checkpoint, all-reduce and export read, and
// nothing else.
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "config/train_config.h"
#include "model/llama.h"
#include "model/parameter_list.h"

namespace lococo {

enum class ParameterGroup { kConv, kNormalizer, kRetention, kLora, kEmbed, kNorm, kBase };
const char* name_of(ParameterGroup group);

struct RegisteredParameter {
  std::string name;  ///< Hugging Face / PEFT / official LoCoCo name
  /// Handle to the model's own tensor; trainable: float32 master with requires_grad.
  torch::Tensor tensor;
  ParameterGroup group = ParameterGroup::kBase;
  bool trainable = false;
  double learning_rate = 0.0;  ///< peak
  double weight_decay = 0.0;   ///< 0 for biases, norms and normalizers
};

/// Whether it is float32 whatever the compute dtype: what is trained, and gates, whose scores
/// decide between near equals.
bool keeps_float32(const RegisteredParameter& parameter);

/// Every parameter with its group and whether `tune` trains it; changes nothing.
std::vector<RegisteredParameter> classify_parameters(Llama& model, const TuneConfig& tune,
                                                     double weight_decay);
/// The same of parameters without a model (list_parameters).
std::vector<RegisteredParameter> classify_parameters(const NamedTensors& parameters,
                                                     const TuneConfig& tune, double weight_decay);

/// Trainable and frozen parameters by group, one line each.
std::string summarise(const std::vector<RegisteredParameter>& parameters);

class ParameterRegistry {
 public:
  /// Decides what is trained. Trainable parameters become float32 leaves with requires_grad; all
  /// others are converted to `frozen_dtype` in place and need no gradient.
  ParameterRegistry(Llama& model, const TuneConfig& tune, double weight_decay,
                    torch::ScalarType frozen_dtype);

  const std::vector<RegisteredParameter>& all() const { return parameters_; }
  std::vector<RegisteredParameter> trainable() const;
  int64_t count(bool trainable) const;  ///< elements

  std::string summary() const { return summarise(parameters_); }

 private:
  std::vector<RegisteredParameter> parameters_;
};

}  // namespace lococo
