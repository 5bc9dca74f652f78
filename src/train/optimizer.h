// AdamW over the trainable parameters of a registry, its state by parameter name.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "config/train_config.h"
#include "model/registry.h"

namespace lococo {

/// kFused: one fused kernel for all parameters that share a device, learning rate and weight decay.
/// kReference: the update written out for one parameter after the other, to test the fused one.
enum class AdamWPath { kFused, kReference };

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019), bias corrected, in float32:
///   w -= lr * weight_decay * w;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
///   w -= lr * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)
/// with lr = the parameter's own learning_rate times the schedule's factor and t counted for each
/// parameter by itself. A parameter without a gradient is left alone, its t included. A step never
/// waits for the GPU.
class AdamW {
 public:
  /// `trainable`: contiguous float32 leaves with requires_grad and unique names; the handles are
  /// shared with the model, so a step changes the model's own weights.
  AdamW(std::vector<RegisteredParameter> trainable, const TrainConfig& config,
        AdamWPath path = AdamWPath::kFused);

  /// One update from the gradients in `.grad`. `lr_factor`: lr_schedule.h, in [0, 1].
  void step(double lr_factor);

  const std::vector<RegisteredParameter>& parameters() const { return parameters_; }

  /// "NAME.m" and "NAME.v" in the parameter's shape, "NAME.step" 0-dim, float32, for every
  /// parameter. The tensors are the optimizer's own, not copies.
  std::map<std::string, torch::Tensor> state() const;

  /// Copies such a state in. Throws UserError naming the tensor when one is missing, unknown or of
  /// another shape or type; nothing is changed then. Learning rates stay the config's.
  void load_state(const std::map<std::string, torch::Tensor>& state);

 private:
  struct Moments {
    torch::Tensor m, v;  ///< shape and device of the parameter
    torch::Tensor step;  ///< 0-dim float32, updates made so far
  };
  struct Group {  ///< parameters that one fused call updates
    double learning_rate = 0.0;
    double weight_decay = 0.0;
    torch::Device device = torch::kCPU;
    std::vector<size_t> members;  ///< indices into parameters_
  };

  void step_fused(const Group& group, double lr_factor);
  void step_reference(const Group& group, double lr_factor);
  std::vector<size_t> with_gradient(const Group& group) const;

  std::vector<RegisteredParameter> parameters_;
  std::vector<Moments> moments_;  ///< as parameters_
  std::vector<Group> groups_;
  double beta1_, beta2_, epsilon_;
  AdamWPath path_;
};

/// Throws what AdamW(parameters).load_state(state) throws of a state that does not fit.
void check_adamw_state(const std::vector<RegisteredParameter>& parameters,
                       const std::map<std::string, torch::Tensor>& state);

}  // namespace lococo
