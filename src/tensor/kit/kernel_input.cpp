#include "tensor/kit/kernel_input.h"

namespace lococo {

bool has_kernel_element(const torch::Tensor& tensor) {
  return tensor.is_cuda() && tensor.numel() > 0 &&
         (tensor.scalar_type() == torch::kBFloat16 || tensor.scalar_type() == torch::kFloat32);
}

ElementType element_type_of(const torch::Tensor& tensor) {
  return tensor.scalar_type() == torch::kBFloat16 ? ElementType::kBfloat16 : ElementType::kFloat32;
}

bool is_aligned(const torch::Tensor& tensor) {
  return reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 16 == 0;
}

torch::Tensor kernel_ready(const torch::Tensor& tensor) {
  const auto contiguous = tensor.contiguous();
  return is_aligned(contiguous) ? contiguous : contiguous.clone();
}

std::optional<int64_t> row_stride_of(const torch::Tensor& x) {
  if (x.size(-1) > 1 && x.stride(-1) != 1) return std::nullopt;
  int64_t stride = x.size(-1);  // for a single row
  int64_t rows = 1;
  for (int64_t axis = x.dim() - 2; axis >= 0; --axis) {
    if (x.size(axis) == 1) continue;
    if (rows == 1) {
      stride = x.stride(axis);
    } else if (x.stride(axis) != stride * rows) {
      return std::nullopt;
    }
    rows *= x.size(axis);
  }
  return stride;
}

}  // namespace lococo
