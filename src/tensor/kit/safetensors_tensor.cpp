#include "tensor/kit/safetensors_tensor.h"

#include <array>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "core/safetensors_write.h"
#include "tensor/kit/torch.h"

namespace lococo {
namespace {

constexpr std::array<std::pair<FileDType, torch::ScalarType>, 13> kTypes = {{
    {FileDType::kBool, torch::kBool},
    {FileDType::kUint8, torch::kUInt8},
    {FileDType::kInt8, torch::kInt8},
    {FileDType::kInt16, torch::kInt16},
    {FileDType::kUint16, torch::kUInt16},
    {FileDType::kInt32, torch::kInt32},
    {FileDType::kUint32, torch::kUInt32},
    {FileDType::kInt64, torch::kInt64},
    {FileDType::kUint64, torch::kUInt64},
    {FileDType::kFloat16, torch::kFloat16},
    {FileDType::kBFloat16, torch::kBFloat16},
    {FileDType::kFloat32, torch::kFloat32},
    {FileDType::kFloat64, torch::kFloat64},
}};

}  // namespace

torch::ScalarType scalar_type_of(FileDType dtype) {
  for (const auto& [file, type] : kTypes) {
    if (file == dtype) return type;
  }
  TORCH_CHECK(false, "a file dtype without a tensor type");
}

FileDType file_dtype_of(torch::ScalarType type) {
  for (const auto& [file, candidate] : kTypes) {
    if (candidate == type) return file;
  }
  TORCH_CHECK(false, "safetensors has no name for tensors of type ", type);
}

torch::Tensor copy_tensor(const TensorView& view) {
  torch::Tensor tensor = torch::empty(view.shape, scalar_type_of(view.dtype));
  // memcpy and not a typed copy: the source may stand at any byte
  if (view.num_bytes > 0) std::memcpy(tensor.data_ptr(), view.data, view.num_bytes);
  return tensor;
}

torch::Tensor borrow_tensor(const TensorView& view) {
  const auto address = reinterpret_cast<std::uintptr_t>(view.data);
  if (view.num_bytes == 0 || address % bytes_of(view.dtype) != 0) return copy_tensor(view);
  // from_blob has no form for read-only memory
  return torch::from_blob(const_cast<std::byte*>(view.data), view.shape,
                          torch::TensorOptions().dtype(scalar_type_of(view.dtype)));
}

TensorMap read_tensors(const std::string& path) {
  const SafetensorsFile file(path);
  TensorMap tensors;
  for (const auto& [name, view] : file.tensors()) tensors[name] = copy_tensor(view);
  return tensors;
}

void write_tensors(const std::string& path, const TensorMap& tensors,
                   const std::map<std::string, std::string>& metadata) {
  std::vector<const torch::Tensor*> sources;
  std::vector<TensorToWrite> entries;
  for (const auto& [name, tensor] : tensors) {
    sources.push_back(&tensor);
    entries.push_back({name, file_dtype_of(tensor.scalar_type()), tensor.sizes().vec(), nullptr});
  }
  torch::Tensor held;  // one tensor's copy on the CPU at a time
  write_safetensors(path, entries, metadata, [&](size_t i) {
    held = sources[i]->detach().to(torch::kCPU).contiguous();
    return static_cast<const std::byte*>(held.const_data_ptr());
  });
}

}  // namespace lococo
