// A parameter as a registry has it, without a model.
#pragma once

#include <string>

#include "model/registry.h"
#include "tensor/kit/torch.h"

namespace lococo::testing {

/// A random tensor that is trained at this rate and decay.
inline RegisteredParameter parameter(const std::string& name, torch::IntArrayRef shape, double lr,
                                     double decay) {
  RegisteredParameter made;
  made.name = name;
  made.tensor = torch::randn(shape).set_requires_grad(true);
  made.trainable = true;
  made.learning_rate = lr;
  made.weight_decay = decay;
  return made;
}

}  // namespace lococo::testing
