#include "lococo/streaming.h"

namespace lococo {

StreamingPolicy::StreamingPolicy(const CacheConfig& config)
    : slots_(config.slots), sinks_(config.sinks) {}

CacheState StreamingPolicy::compress(const CacheState& cache) {
  const int64_t S = cache.size();
  TORCH_CHECK(S > slots_, "S=", S, " must exceed the ", slots_, " slots");
  const int64_t newest = slots_ - sinks_;
  auto keep = [&](const torch::Tensor& x_BGSD) {
    const auto recent = x_BGSD.narrow(/*dim=*/2, S - newest, newest);
    return sinks_ == 0 ? recent.contiguous()
                       : torch::cat({x_BGSD.narrow(/*dim=*/2, 0, sinks_), recent}, /*dim=*/2);
  };
  return {keep(cache.k_BGSD), keep(cache.v_BGSD), torch::Tensor()};
}

}  // namespace lococo
