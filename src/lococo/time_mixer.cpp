#include "lococo/time_mixer.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>

#include "tensor/kit/wide.h"

namespace lococo {
namespace {

/// What the convolution sees of the masses [B, G, S]: their logarithm, of mean 0 and deviation 1
/// over the slots, so that neither the length of the text nor the head sets its scale.
torch::Tensor mass_feature(const torch::Tensor& mass_BGS) {
  constexpr double kSmallestMass = 1e-6, kSmallestDeviation = 1e-3;
  // A normalizer beyond 1 can make a mixed mass negative.
  const auto log_mass = torch::log(mass_BGS.clamp_min(0.0) + kSmallestMass);
  const auto centred = log_mass - log_mass.mean(/*dim=*/-1, /*keepdim=*/true);
  const auto deviation = centred.square().mean(/*dim=*/-1, /*keepdim=*/true).sqrt();
  return centred / (deviation + kSmallestDeviation);
}

}  // namespace

TimeConvImpl::TimeConvImpl(int64_t in_channels, int64_t out_channels, int64_t kernel_size) {
  weight = register_parameter("weight", torch::empty({out_channels, in_channels, kernel_size}));
  bias = register_parameter("bias", torch::empty({out_channels}));
}

torch::Tensor TimeConvImpl::forward(const torch::Tensor& x_XCS, const torch::Tensor& last_XS) {
  const auto w = weight.to(x_XCS.scalar_type()), b = bias.to(x_XCS.scalar_type());
  const int64_t C = x_XCS.size(1), S = x_XCS.size(2), reach = (w.size(2) - 1) / 2;
  if (!last_XS.defined()) return torch::conv1d(x_XCS, w, b, /*stride=*/1, /*padding=*/reach);
  const auto y_XRS = torch::conv1d(x_XCS, w.narrow(/*dim=*/1, 0, C), b, 1, /*padding=*/reach);
  // Window k of the padded channel is what tap k meets.
  const auto windows_XKS = torch::constant_pad_nd(last_XS, {reach, reach})
                               .unfold(/*dimension=*/1, /*size=*/S, /*step=*/1);
  return y_XRS + torch::matmul(w.select(/*dim=*/1, C), windows_XKS);
}

TimeMixer::TimeMixer(torch::nn::Module* owner, const CacheConfig& config, int64_t kv_heads,
                     int64_t head_dim, uint64_t init_seed)
    : config_(config) {
  const int64_t R = config.mixed_slots();
  const int64_t seen_channels = 2 * head_dim + (config.mass_channel ? 1 : 0);
  auto layers = std::make_shared<torch::nn::Module>("layers");
  for (int64_t i = 0; i < config.conv_layers; ++i) {
    const int64_t in_channels = i == 0 ? seen_channels : R * config.expand;
    const int64_t out_channels = i == config.conv_layers - 1 ? R : R * config.expand;
    TimeConv conv(in_channels, out_channels, config.kernel_size);
    // The official container counts the activation after each convolution too.
    convs_.push_back(layers->register_module(std::to_string(2 * i), conv));
  }
  owner->register_module("layers", layers);
  normalizer = owner->register_parameter("normalizer",
                                         torch::empty({config.normalizer_per_head ? kv_heads : 1}));
  reset_parameters(init_seed);
}

void TimeMixer::reset_parameters(uint64_t seed) {
  torch::NoGradGuard no_grad;
  auto generator = at::detail::createCPUGenerator(seed);
  for (auto& conv : convs_) {
    const double fan_in = static_cast<double>(conv->weight.size(1) * conv->weight.size(2));
    const double deviation = config_.init == ConvInit::kNormal ? 1.0 : 1.0 / std::sqrt(fan_in);
    const double bound = 1.0 / std::sqrt(fan_in);  // PyTorch's default for a convolution's bias
    // Drawn on the CPU, so that a seed means the same weights on every device.
    conv->weight.copy_(torch::empty(conv->weight.sizes()).normal_(0.0, deviation, generator));
    conv->bias.copy_(torch::empty(conv->bias.sizes()).uniform_(-bound, bound, generator));
  }
  normalizer.fill_(config_.init == ConvInit::kIdentity ? 0.0 : config_.normalizer_init);
}

torch::Tensor TimeMixer::weights(const CacheState& rest) const {
  const int64_t B = rest.k_BGSD.size(0), G = rest.k_BGSD.size(1), S = rest.size();
  auto x_XCS =
      torch::cat({rest.k_BGSD, rest.v_BGSD}, /*dim=*/-1).reshape({B * G, S, -1}).transpose(1, 2);
  torch::Tensor masses_XS;
  if (config_.mass_channel)
    masses_XS = mass_feature(rest.mass_BGS).view({B * G, S}).to(x_XCS.scalar_type());
  for (size_t i = 0; i < convs_.size(); ++i) {
    TimeConv conv = convs_[i];
    x_XCS = torch::relu(conv->forward(x_XCS, i == 0 ? masses_XS : torch::Tensor()));
  }
  const auto wide = wide_of(x_XCS);
  const auto shares = torch::softmax(x_XCS, /*dim=*/-1, wide);
  return shares.view({B, G, shares.size(1), S}).to(rest.k_BGSD.scalar_type());
}

torch::Tensor TimeMixer::mix(const torch::Tensor& own, const torch::Tensor& mixture) const {
  const auto share = own.dim() == 3 ? normalizer.view({-1, 1}) : normalizer.view({-1, 1, 1});
  return ((1 - share) * own + share * mixture).to(own.scalar_type());
}

}  // namespace lococo
