// An optimizer's state on its way into a checkpoint.
#pragma once

#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "tensor/kit/safetensors_tensor.h"

namespace lococo {

/// It is handed over tensor by tensor: ranks may share it, and then it never lies in one memory as
/// a whole.
struct StateToSave {
  struct Entry {
    std::string name;
    std::vector<int64_t> shape;
  };
  std::vector<Entry> tensors;  ///< float32, in the order of their names
  /// The whole tensor of that index, contiguous on the CPU. Asked for each once, in their order.
  std::function<torch::Tensor(size_t)> fetch;
  std::string not_finite;  ///< one that holds NaN or infinity; empty: none does
};

/// A state that one process has as a whole.
StateToSave state_to_save(const TensorMap& state);

/// Writes it as a file of safetensors (write_safetensors).
void write_state_tensors(const std::string& path, const StateToSave& state);

}  // namespace lococo
