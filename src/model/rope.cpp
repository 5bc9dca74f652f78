#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tensor/layers/rotary.h"

namespace lococo {
namespace {

constexpr double kPi = std::numbers::pi;

int64_t original_context(const ModelShape& shape) {
  const int64_t original = shape.rope_scaling.original_max_position_embeddings;
  return original > 0 ? original : shape.max_position_embeddings;
}

std::vector<double> plain_frequencies(double theta, int64_t D) {
  std::vector<double> frequencies(D / 2);
  for (int64_t i = 0; i < D / 2; ++i)
    frequencies[i] = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(D));
  return frequencies;
}

/// arXiv 2309.00071: high frequencies stay, low ones are interpolated, with a ramp between.
void scale_yarn(std::vector<double>& frequencies, const ModelShape& shape) {
  const RopeScaling& scaling = shape.rope_scaling;
  const double D = static_cast<double>(shape.head_dim);
  auto dimension_of = [&](double rotations) {
    return D * std::log(static_cast<double>(original_context(shape)) / (rotations * 2 * kPi)) /
           (2 * std::log(shape.rope_theta));
  };
  const double low = std::max(std::floor(dimension_of(scaling.beta_fast)), 0.0);
  double high = std::min(std::ceil(dimension_of(scaling.beta_slow)), D - 1);
  if (low == high) high += 0.001;  // transformers avoids the division by zero the same way
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = frequencies[i] / scaling.factor * ramp + frequencies[i] * (1 - ramp);
  }
}

void scale_llama3(std::vector<double>& frequencies, const ModelShape& shape) {
  const RopeScaling& scaling = shape.rope_scaling;
  const double context = static_cast<double>(original_context(shape));
  for (double& frequency : frequencies) {
    const double wavelength = 2 * kPi / frequency;
    if (wavelength < context / scaling.high_freq_factor) continue;
    if (wavelength > context / scaling.low_freq_factor) {
      frequency /= scaling.factor;
    } else {
      const double smooth = (context / wavelength - scaling.low_freq_factor) /
                            (scaling.high_freq_factor - scaling.low_freq_factor);
      frequency = (1 - smooth) * frequency / scaling.factor + smooth * frequency;
    }
  }
}

double dynamic_theta(const ModelShape& shape, int64_t sequence_length) {
  const double context = static_cast<double>(shape.max_position_embeddings);
  const auto length = static_cast<double>(sequence_length);
  if (length <= context) return shape.rope_theta;  // exactly, whatever the factor rounds to
  const double factor = shape.rope_scaling.factor;
  const double D = static_cast<double>(shape.head_dim);
  return shape.rope_theta * std::pow(factor * length / context - (factor - 1), D / (D - 2));
}

double yarn_attention_factor(const RopeScaling& scaling) {
  if (scaling.attention_factor > 0) return scaling.attention_factor;
  return scaling.factor <= 1 ? 1.0 : 0.1 * std::log(scaling.factor) + 1.0;
}

}  // namespace

RopeTable RopeTable::narrow(int64_t begin, int64_t length) const {
  return {cos_LD.narrow(/*dim=*/0, begin, length), sin_LD.narrow(/*dim=*/0, begin, length)};
}

Rope::Rope(const ModelShape& shape) : shape_(shape) {
  if (shape.rope_scaling.type == RopeType::kYarn)
    attention_factor_ = yarn_attention_factor(shape.rope_scaling);
}

torch::Tensor Rope::inverse_frequencies(int64_t sequence_length) const {
  const bool dynamic = shape_.rope_scaling.type == RopeType::kDynamic;
  auto frequencies = plain_frequencies(
      dynamic ? dynamic_theta(shape_, sequence_length) : shape_.rope_theta, shape_.head_dim);
  if (shape_.rope_scaling.type == RopeType::kLinear) {
    for (double& frequency : frequencies) frequency /= shape_.rope_scaling.factor;
  } else if (shape_.rope_scaling.type == RopeType::kYarn) {
    scale_yarn(frequencies, shape_);
  } else if (shape_.rope_scaling.type == RopeType::kLlama3) {
    scale_llama3(frequencies, shape_);
  }
  return torch::tensor(frequencies, torch::kFloat64).to(torch::kFloat32);
}

RopeTable Rope::table(int64_t begin, int64_t end, torch::Device device) const {
  const int64_t length = shape_.rope_scaling.type == RopeType::kDynamic ? end : 0;
  if (!on_device_.defined() || on_device_.device() != device || on_device_length_ != length) {
    on_device_ = inverse_frequencies(length).to(device);
    on_device_length_ = length;
  }
  const auto positions = torch::arange(begin, end, on_device_.options());
  const auto half = torch::outer(positions, on_device_);
  const auto angles_LD = torch::cat({half, half}, /*dim=*/-1);
  return {angles_LD.cos() * attention_factor_, angles_LD.sin() * attention_factor_};
}

torch::Tensor apply_rope_at(const torch::Tensor& x_BGSD, const torch::Tensor& place_BGS,
                            const RopeTable& table) {
  return rotary_at(x_BGSD, place_BGS, table.cos_LD, table.sin_LD);
}

torch::Tensor apply_rope(const torch::Tensor& x_BHLD, const RopeTable& table) {
  return rotary(x_BHLD, table.cos_LD, table.sin_LD);
}

}  // namespace lococo
