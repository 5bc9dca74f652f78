// What the elementwise CUDA kernels ask of a tensor.
#pragma once

#include <torch/types.h>

#include <optional>

#include "tensor/kit/element_type.h"

namespace lococo {

/// On a GPU, not empty, in a dtype that the kernels know (bfloat16, float32).
bool has_kernel_element(const torch::Tensor& tensor);

/// Of a tensor with has_kernel_element().
ElementType element_type_of(const torch::Tensor& tensor);

/// The memory starts where 16 bytes can be loaded at once. torch's allocator sees to it; a view may
/// start elsewhere.
bool is_aligned(const torch::Tensor& tensor);

/// `tensor`, or a copy of it where it is not contiguous and aligned.
torch::Tensor kernel_ready(const torch::Tensor& tensor);

/// Elements from a row to the next when all dimensions but the last are seen as rows; nothing when
/// they have no common stride or the last stride is not 1. x has at least one dimension.
std::optional<int64_t> row_stride_of(const torch::Tensor& x);

}  // namespace lococo
