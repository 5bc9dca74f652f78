// What recordings of a model's work hold of it, and need of it.
#pragma once

#include <torch/types.h>

#include <vector>

#include "model/llama.h"

namespace lococo {

class RecordedModel {
 public:
  /// Whether parameters or gradients lie elsewhere than at the last call: then recordings are of no
  /// use.
  bool has_moved(Llama& model);

 private:
  std::vector<const void*> addresses_;
};

/// Whether work on the model can be recorded on `device`. With `train` only where every trained
/// parameter has a gradient: one that a recording would have to allocate would be lost.
bool may_record(Llama& model, torch::Device device, bool train);

}  // namespace lococo
