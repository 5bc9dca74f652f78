// safetensors <-> tensors. A file may place a tensor at any byte, so nothing here assumes that the
// mapped bytes are aligned.
#pragma once

#include <torch/types.h>

#include <map>
#include <string>

#include "core/safetensors.h"

namespace lococo {

/// Tensors by name, in the order of their names.
using TensorMap = std::map<std::string, torch::Tensor>;

torch::ScalarType scalar_type_of(FileDType dtype);

/// Throws (our bug) for a type the format has no name for.
FileDType file_dtype_of(torch::ScalarType type);

/// The tensor in CPU memory of its own.
torch::Tensor copy_tensor(const TensorView& view);

/// The tensor on the mapped bytes themselves where they are aligned to the element, else a copy.
/// Read only, and valid only while the file is open: meant as the source of a copy_().
torch::Tensor borrow_tensor(const TensorView& view);

/// Every tensor of a file, copied. Throws UserError as SafetensorsFile does.
TensorMap read_tensors(const std::string& path);

/// Writes tensors of any device and any strides in their own dtype, whole (see write_safetensors).
/// Throws UserError when the place cannot be written.
void write_tensors(const std::string& path, const TensorMap& tensors,
                   const std::map<std::string, std::string>& metadata = {{"format", "pt"}});

}  // namespace lococo
