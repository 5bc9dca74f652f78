// Tensors as the kernels of compress_kernel.h see them. For the files that launch these; only where
// there is CUDA.
#pragma once

#include <torch/types.h>

#include "config/cache_config.h"
#include "lococo/cache_state.h"
#include "lococo/compress_kernel.h"

namespace lococo {

/// Whether x_BGSD has neighbouring channels that can be read 16 bytes at a time.
bool is_vectorised(const torch::Tensor& x_BGSD);

/// Whether a row's numbers lie beside each other.
bool are_neighbours(const torch::Tensor& number_BGS);

/// A bfloat16 tensor's memory.
const uint16_t* bits_of(const torch::Tensor& x);
uint16_t* mutable_bits_of(const torch::Tensor& x);

/// An undefined tensor gives null data. Others must be bfloat16 and vectorised.
SlotView<const uint16_t> view_of(const torch::Tensor& x_BGSD);
SlotView<uint16_t> mutable_view_of(const torch::Tensor& x_BGSD);

/// Numbers beside the slots, which must be neighbours; T is their dtype: float or int32_t.
/// Undefined: null data.
template <typename T>
NumberView<const T> number_view_of(const torch::Tensor& number_BGS);
template <typename T>
NumberView<T> mutable_number_view_of(const torch::Tensor& number_BGS);

/// The sizes of compressing `cache` as `config` says.
CompressShape compress_shape(const CacheState& cache, const CacheConfig& config);

}  // namespace lococo
