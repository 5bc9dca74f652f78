#include "lococo/slot_views.h"

#ifdef LOCOCO_WITH_CUDA

#include "tensor/kit/kernel_input.h"

namespace lococo {
namespace {

constexpr int64_t kVectorBytes = 16;

/// A stride that is never used is 0, whatever the tensor says.
int64_t stride_of(const torch::Tensor& x, int64_t dim) {
  return x.size(dim) == 1 ? 0 : x.stride(dim);
}

}  // namespace

bool is_vectorised(const torch::Tensor& x_BGSD) {
  const int64_t vector = kVectorBytes / x_BGSD.element_size();
  return x_BGSD.stride(3) == 1 && x_BGSD.size(3) % vector == 0 &&
         stride_of(x_BGSD, 0) % vector == 0 && stride_of(x_BGSD, 1) % vector == 0 &&
         stride_of(x_BGSD, 2) % vector == 0 && is_aligned(x_BGSD);
}

bool are_neighbours(const torch::Tensor& number_BGS) {
  return number_BGS.size(2) == 1 || number_BGS.stride(2) == 1;
}

const uint16_t* bits_of(const torch::Tensor& x) {
  return reinterpret_cast<const uint16_t*>(x.const_data_ptr<at::BFloat16>());
}

uint16_t* mutable_bits_of(const torch::Tensor& x) {
  return reinterpret_cast<uint16_t*>(x.mutable_data_ptr<at::BFloat16>());
}

SlotView<const uint16_t> view_of(const torch::Tensor& x_BGSD) {
  if (!x_BGSD.defined()) return {nullptr, 0, 0, 0};
  return {bits_of(x_BGSD), stride_of(x_BGSD, 0), stride_of(x_BGSD, 1), stride_of(x_BGSD, 2)};
}

SlotView<uint16_t> mutable_view_of(const torch::Tensor& x_BGSD) {
  return {mutable_bits_of(x_BGSD), stride_of(x_BGSD, 0), stride_of(x_BGSD, 1),
          stride_of(x_BGSD, 2)};
}

template <typename T>
NumberView<const T> number_view_of(const torch::Tensor& number_BGS) {
  if (!number_BGS.defined()) return {nullptr, 0, 0};
  TORCH_CHECK(are_neighbours(number_BGS), "want neighbouring slots, got strides ",
              number_BGS.strides());
  return {number_BGS.const_data_ptr<T>(), stride_of(number_BGS, 0), stride_of(number_BGS, 1)};
}

template <typename T>
NumberView<T> mutable_number_view_of(const torch::Tensor& number_BGS) {
  if (!number_BGS.defined()) return {nullptr, 0, 0};
  TORCH_CHECK(are_neighbours(number_BGS), "want neighbouring slots, got strides ",
              number_BGS.strides());
  return {number_BGS.mutable_data_ptr<T>(), stride_of(number_BGS, 0), stride_of(number_BGS, 1)};
}

template NumberView<const float> number_view_of<float>(const torch::Tensor& number_BGS);
template NumberView<const int32_t> number_view_of<int32_t>(const torch::Tensor& number_BGS);
template NumberView<float> mutable_number_view_of<float>(const torch::Tensor& number_BGS);
template NumberView<int32_t> mutable_number_view_of<int32_t>(const torch::Tensor& number_BGS);

CompressShape compress_shape(const CacheState& cache, const CacheConfig& config) {
  const auto& k = cache.k_BGSD;
  CompressShape shape{};
  shape.rows = k.size(0) * k.size(1);
  shape.heads = k.size(1);
  shape.slots = static_cast<int>(k.size(2));
  shape.result = static_cast<int>(config.slots);
  shape.mixed = static_cast<int>(config.mixed_slots());
  shape.decay = static_cast<float>(config.score_factor(k.size(2)));
  shape.own_shares = config.normalizer_per_head;
  shape.mix_keys = config.mix_keys;
  shape.sinks = static_cast<int>(config.sinks);
  shape.channels = static_cast<int>(k.size(3));
  return shape;
}

}  // namespace lococo

#endif  // LOCOCO_WITH_CUDA
