// Caches and memories of many shapes for the GPU tests of the compression, and how results compare.
#pragma once

#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "lococo/conv_memory.h"
#include "lococo/fused_select.h"
#include "tensor/conv/time_conv.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/gpu.h"
#include "tests/support/gradcheck.h"
#include "tests/support/tensors.h"

namespace lococo::testing {

struct Case {
  int64_t B, G, S, D, slots;
  double keep_fraction;
  int64_t sinks, local, kernel_size;
};

inline const std::vector<Case>& cases() {
  static const std::vector<Case> list = {
      {2, 3, 101, 64, 64, 0.5, 0, 0, 3},       {1, 8, 1024, 128, 512, 0.5, 0, 0, 21},
      {3, 2, 131, 128, 64, 0.75, 2, 5, 21},    {1, 4, 1041, 32, 512, 0.25, 4, 64, 21},
      {2, 1, 600, 64, 512, 0.0, 0, 0, 5},      {1, 2, 4608, 32, 4096, 0.5, 4, 256, 9},
      {1, 3, 4625, 64, 4096, 0.875, 0, 7, 21}, {1, 1, 105, 8, 100, 0.52, 3, 49, 1}};
  return list;
}

inline std::string text(const Case& c) {
  std::ostringstream out;
  out << "B=" << c.B << " G=" << c.G << " S=" << c.S << " D=" << c.D << " slots=" << c.slots
      << " keep_fraction=" << c.keep_fraction << " sinks=" << c.sinks << " local=" << c.local;
  return out.str();
}

inline CacheConfig config_of(const Case& c, CachePolicyKind policy, KeyKind keys) {
  CacheConfig config;
  config.policy = policy;
  config.slots = c.slots;
  config.keep_fraction = c.keep_fraction;
  config.sinks = c.sinks;
  config.local = c.local;
  config.kernel_size = c.kernel_size;
  config.keys = keys;
  config.init = ConvInit::kFanIn;
  config.score_decay = 0.75;
  return config;
}

/// Masses without two equal ones in a row.
inline torch::Tensor distinct_masses(int64_t B, int64_t G, int64_t S, uint64_t seed) {
  const auto ranks = normal({B, G, S}, seed).argsort(int64_t{-1});
  return (ranks.to(torch::kFloat32) + 1) * 0.125;
}

inline CacheState random_cache(const Case& c, uint64_t seed) {
  const std::vector<int64_t> sizes = {c.B, c.G, c.S, c.D};
  return {normal(sizes, seed, torch::kBFloat16).to(kGpu),
          normal(sizes, seed + 1, torch::kBFloat16).to(kGpu),
          distinct_masses(c.B, c.G, c.S, seed + 2).to(kGpu)};
}

inline CacheState widened(const CacheState& cache) {
  return {cache.k_BGSD.to(torch::kFloat32), cache.v_BGSD.to(torch::kFloat32), cache.mass_BGS};
}

/// A memory whose softmax prefers some tokens clearly, with weights that bfloat16 can hold.
inline std::shared_ptr<ConvMemory> make_memory(const CacheConfig& config, const Case& c) {
  auto memory = std::make_shared<ConvMemory>(config, c.G, c.D, /*init_seed=*/1);
  const torch::NoGradGuard no_grad;
  for (auto& parameter : memory->parameters())
    parameter.copy_((parameter.dim() == 3 ? 2.0 * parameter : parameter).to(torch::kBFloat16));
  memory->normalizer().copy_(0.75 - 0.125 * torch::arange(memory->normalizer().size(0)));
  memory->to(kGpu);
  return memory;
}

inline void check_close(const CacheState& got, const CacheState& want) {
  CHECK_CLOSE(got.k_BGSD, want.k_BGSD);
  CHECK_CLOSE(got.v_BGSD, want.v_BGSD);
  // The kernel mixes masses by weights in bfloat16.
  CHECK_CLOSE(got.mass_BGS.to(torch::kBFloat16), want.mass_BGS);
}

inline void check_same(const CacheState& got, const CacheState& want) {
  CHECK_SAME(got.k_BGSD, want.k_BGSD);
  CHECK_SAME(got.v_BGSD, want.v_BGSD);
  REQUIRE(got.mass_BGS.defined() == want.mass_BGS.defined());
  if (got.mass_BGS.defined()) CHECK_SAME(got.mass_BGS, want.mass_BGS);
}

/// Gradients of weight, bias and normalizer for a loss of the compressed cache.
template <typename Loss>
std::vector<torch::Tensor> gradients_of(ConvMemory& memory, const CacheState& cache,
                                        const Loss& loss) {
  return torch::autograd::grad({loss(memory.compress(cache))}, memory.parameters());
}

inline torch::Tensor loss_of_both(const CacheState& result) {
  return weighted_sum(result.k_BGSD.to(torch::kFloat32), 1) +
         weighted_sum(result.v_BGSD.to(torch::kFloat32), 2);
}

inline void check_gradients(const std::vector<torch::Tensor>& got,
                            const std::vector<torch::Tensor>& want) {
  REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    INFO("gradient " << i << " of " << want[i].sizes());
    const double scale = want[i].abs().max().item<double>();
    CHECK(got[i].scalar_type() == torch::kFloat32);
    // Products of bfloat16 numbers, against the largest of them.
    CHECK_CLOSE((got[i] / scale).to(torch::kBFloat16), want[i] / scale);
  }
}

/// Whether the project's kernels convolve such a cache.
inline bool has_fused_conv(const CacheConfig& config, const CacheState& cache) {
  const auto x_XSC = torch::cat({cache.k_BGSD, cache.v_BGSD}, -1).flatten(0, 1);
  return time_conv_is_fused(x_XSC, config.mixed_slots(), config.kernel_size);
}

inline void check_same_gradients(const std::vector<torch::Tensor>& got,
                                 const std::vector<torch::Tensor>& want) {
  REQUIRE(got.size() == want.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK_SAME(got[i], want[i]);
}

}  // namespace lococo::testing
