#include "lococo/retention.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>

#include "lococo/fused_select.h"
#include "lococo/selection.h"
#include "lococo/selection_kernel.h"
#include "soft/mass_score.h"
#include "soft/soft_cache.h"
#include "tensor/kit/wide.h"
#include "tensor/layers/split_linear.h"

namespace lococo {
namespace {

constexpr double kMassWeight = 0.3;

torch::Tensor drawn(at::IntArrayRef sizes, int64_t inputs, at::Generator& generator) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(inputs));
  return torch::empty(sizes).uniform_(-bound, bound, generator);
}

}  // namespace

RetentionGateImpl::RetentionGateImpl(int64_t hidden_size, int64_t hidden_units, int64_t kv_heads,
                                     uint64_t init_seed) {
  const int64_t E = hidden_size, U = hidden_units, G = kv_heads;
  torch::NoGradGuard no_grad;
  // Drawn on the CPU, so that a seed means the same weights on every device.
  auto generator = at::detail::createCPUGenerator(init_seed);
  hidden_weight = register_parameter("hidden_weight", drawn({U, E}, E, generator));
  hidden_bias = register_parameter("hidden_bias", drawn({U}, E, generator));
  out_weight = register_parameter("out_weight", drawn({G, U}, U, generator));
  skip_weight = register_parameter("skip_weight", drawn({G, E}, E, generator));
  out_bias = register_parameter("out_bias", torch::zeros({G}));
  mass_weight = register_parameter("mass_weight", torch::full({G}, kMassWeight));
}

torch::Tensor RetentionGateImpl::forward(const torch::Tensor& h_BLE) {
  // On a CPU two products in half precision are slower than one in float32.
  const bool split = h_BLE.is_cuda() && h_BLE.scalar_type() == torch::kBFloat16 &&
                     hidden_weight.scalar_type() == torch::kFloat32;
  return split ? forward_split(h_BLE) : forward_wide(h_BLE);
}

torch::Tensor RetentionGateImpl::forward_split(const torch::Tensor& h_BLE) const {
  const int64_t U = hidden_weight.size(0), G = skip_weight.size(0);
  // A power of two: the weight takes it as exactly as the input.
  const auto weight_PE = torch::cat({hidden_weight, skip_weight}) * kGateInputScale;
  const auto product_XP = split_linear(h_BLE.flatten(0, 1), weight_PE);
  const auto hidden_XU = torch::gelu(product_XP.narrow(/*dim=*/1, 0, U) + hidden_bias);
  const auto score_XG =
      torch::linear(hidden_XU, out_weight, out_bias) + product_XP.narrow(/*dim=*/1, U, G);
  return score_XG.view({h_BLE.size(0), h_BLE.size(1), G}).transpose(1, 2);
}

torch::Tensor RetentionGateImpl::forward_wide(const torch::Tensor& h_BLE) const {
  const auto wide = wide_of(h_BLE);
  const auto as = [&](const torch::Tensor& weight) { return weight.to(wide); };
  const auto x_BLE = h_BLE.to(wide) * kGateInputScale;
  const auto hidden_BLU = torch::gelu(torch::linear(x_BLE, as(hidden_weight), as(hidden_bias)));
  const auto score_BLG = torch::linear(hidden_BLU, as(out_weight), as(out_bias)) +
                         torch::linear(x_BLE, as(skip_weight));
  return score_BLG.transpose(1, 2);
}

RetentionPolicy::RetentionPolicy(const CacheConfig& config, const PolicyShape& shape,
                                 uint64_t init_seed)
    : config_(config) {
  gate = register_module("retention", RetentionGate(shape.hidden_size, config.retention_units,
                                                    shape.kv_heads, init_seed));
}

torch::Tensor RetentionPolicy::score(const torch::Tensor& h_BLE) {
  constexpr double kSteps = 4096.0;
  torch::NoGradGuard no_grad;
  return gate->forward(h_BLE).mul_(kSteps).round_().mul_(1.0 / kSteps);
}

CacheState RetentionPolicy::compress(const CacheState& cache) {
  TORCH_CHECK(cache.size() > config_.slots, "S=", cache.size(), " must exceed the ", config_.slots,
              " slots");
  if (use_fused_compression(cache, config_))
    return keep_two_shares_fused(cache, config_, gate->mass_weight);
  const auto mass_weight_G = gate->mass_weight.detach();
  const auto massed_BGS = config_.massed_slots() > 0
                              ? score_with_mass(cache.score_BGS, cache.mass_BGS, mass_weight_G)
                              : torch::Tensor();
  const auto kept_BGM = select_two_shares(cache.score_BGS, massed_BGS, shares_of(config_));
  CacheState kept = gather_cache(cache, kept_BGM);
  kept.mass_BGS =
      needs().mass ? kept.mass_BGS * config_.score_factor(cache.size()) : torch::Tensor();
  return kept;
}

torch::Tensor RetentionPolicy::attend_softly(const torch::Tensor& h_BTE,
                                             const SoftAttentionInput& input,
                                             const SoftCache& cache) {
  return soft_cache_attention(input, cache, gate->forward(h_BTE), gate->mass_weight);
}

}  // namespace lococo
