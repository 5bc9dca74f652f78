#include "weights/state_to_save.h"

#include "core/safetensors_write.h"
#include "tensor/kit/finite.h"
#include "tensor/kit/torch.h"

namespace lococo {

StateToSave state_to_save(const TensorMap& state) {
  StateToSave saved;
  std::vector<torch::Tensor> tensors;
  for (const auto& [name, tensor] : state) {
    saved.tensors.push_back({name, tensor.sizes().vec()});
    tensors.push_back(tensor);
  }
  if (const auto found = first_non_finite(tensors)) saved.not_finite = saved.tensors[*found].name;
  saved.fetch = [tensors](size_t i) { return tensors[i].detach().to(torch::kCPU).contiguous(); };
  return saved;
}

void write_state_tensors(const std::string& path, const StateToSave& state) {
  std::vector<TensorToWrite> entries;
  for (const auto& [name, shape] : state.tensors)
    entries.push_back({name, FileDType::kFloat32, shape, nullptr});
  torch::Tensor held;  // until the next one is asked for
  write_safetensors(path, entries, {{"format", "pt"}}, [&](size_t i) {
    held = state.fetch(i);
    TORCH_CHECK(held.sizes() == state.tensors[i].shape && held.is_contiguous() && held.is_cpu() &&
                    held.scalar_type() == torch::kFloat32,
                state.tensors[i].name, ": not the tensor that was announced");
    return static_cast<const std::byte*>(held.const_data_ptr());
  });
}

}  // namespace lococo
