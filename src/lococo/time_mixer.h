// The convolution over time by which LoCoCo (arXiv 2406.05317) mixes the tokens that leave a cache.
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <vector>

#include "config/cache_config.h"
#include "lococo/cache_state.h"

namespace lococo {

/// One 1-d convolution over time, "same" padding; holds the parameters under the official names.
class TimeConvImpl : public torch::nn::Module {
 public:
  TimeConvImpl(int64_t in_channels, int64_t out_channels, int64_t kernel_size);
  /// x_XCS [X, C, S] -> [X, out, S] in the dtype of x. With last_XS, a channel more than C, in a
  /// product of its own: cuDNN convolves an odd number of channels several times slower.
  torch::Tensor forward(const torch::Tensor& x_XCS, const torch::Tensor& last_XS = {});
  torch::Tensor weight;  ///< [out, in, K]
  torch::Tensor bias;    ///< [out]
};
TORCH_MODULE(TimeConv);

/// Convolutions and normalizer of one layer. Parameter names are the official code's:
/// layers.0.weight, layers.2.weight, ..., normalizer; they belong to the module that it is made
/// for.
class TimeMixer {
 public:
  TimeMixer(torch::nn::Module* owner, const CacheConfig& config, int64_t kv_heads, int64_t head_dim,
            uint64_t init_seed);

  /// Attention of each mixed slot over the S slots of `rest`, rows sum to 1: [B, G, R, S] in the
  /// dtype of k.
  torch::Tensor weights(const CacheState& rest) const;

  /// (1 - a) * own + a * mixture, a the normalizer, in its dtype and rounded once to that of
  /// `own`, [B, G, R, D] or [B, G, R].
  torch::Tensor mix(const torch::Tensor& own, const torch::Tensor& mixture) const;

  const TimeConv& first() const { return convs_[0]; }

  torch::Tensor normalizer;  ///< [1], or [G] with normalizer_per_head

 private:
  /// Draws initial weights as config.init says.
  void reset_parameters(uint64_t seed);

  CacheConfig config_;
  std::vector<TimeConv> convs_;
};

}  // namespace lococo
