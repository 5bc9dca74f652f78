// Writes the safetensors format.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/safetensors.h"

namespace lococo {

/// What to write: bytes are read from `data` during the call.
struct TensorToWrite {
  std::string name;
  FileDType dtype = FileDType::kFloat32;
  std::vector<int64_t> shape;
  const std::byte* data = nullptr;
};

/// Writes a file whole: to `path`.tmp, synced, renamed. Throws UserError when the disk is full or
/// the place not writable; nothing half-written keeps the name `path`.
void write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

/// The same of tensors that need not lie in memory together: `bytes_of_tensor` is asked for each
/// one's bytes (its index in `tensors`) once, wide elements first and otherwise in their order, and
/// they are needed until it is asked for the next.
void write_safetensors(const std::string& path, const std::vector<TensorToWrite>& tensors,
                       const std::map<std::string, std::string>& metadata,
                       const std::function<const std::byte*(size_t)>& bytes_of_tensor);

}  // namespace lococo
