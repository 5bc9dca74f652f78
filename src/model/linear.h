// A linear layer without bias and, where asked, a low-rank update beside it (LoRA, arXiv
// 2106.09685).
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <vector>

#include "tensor/frozen/frozen_matrix.h"

namespace lococo {

/// Holds one weight matrix under the name `weight`, so that registered names equal PEFT's
/// (lora_A.weight).
class LowRankFactorImpl : public torch::nn::Module {
 public:
  explicit LowRankFactorImpl(torch::Tensor initial);
  torch::Tensor weight;
};
TORCH_MODULE(LowRankFactor);

class LinearImpl : public torch::nn::Module {
 public:
  LinearImpl(int64_t in_features, int64_t out_features);

  /// Adds trainable factors A [rank, in] (Kaiming uniform from `seed`, PEFT's default) and B [out,
  /// rank] (zeros); the layer then computes x W' + (alpha / rank) x A' B'.
  void add_lora(int64_t rank, double alpha, uint64_t seed);
  bool has_lora() const { return !lora_A.is_empty(); }
  /// Whether forward() and project_all() count it; merged_weight() always does.
  void use_lora(bool enabled) { lora_enabled_ = enabled; }
  bool lora_counts() const { return has_lora() && lora_enabled_; }
  double lora_scale() const { return lora_scale_; }

  /// From now on the weight is kept in `precision` (not auto) on `device`, and is not trained:
  /// `weight` goes on as a name and a shape without memory (meta device). Values come with fill().
  /// `gradients`: of inputs are wanted (quantise()).
  void keep_quantised(BasePrecision precision, torch::Device device, bool gradients = false);
  bool is_quantised() const { return precision_ != BasePrecision::kAuto; }
  /// Sets the weight to values [out, in] of any floating dtype and device, finite.
  void fill(const torch::Tensor& values);
  int64_t weight_bytes() const;
  /// Where the weight is.
  torch::Device device() const { return is_quantised() ? device_ : weight.device(); }

  /// Whether the weight is not trained and is kept as inputs of `dtype` need it.
  bool is_frozen(torch::ScalarType dtype) const;
  /// The weight, which must not be in training, for inputs of `dtype`; shares its memory where it
  /// is kept so.
  FrozenMatrix frozen_weight(torch::ScalarType dtype) const;

  /// W + scale * B A in float32, detached: what export writes. Of a quantised W its values.
  torch::Tensor merged_weight() const;

  /// x [..., in] -> [..., out] in the dtype of x; float32 master weights are cast at use.
  torch::Tensor forward(const torch::Tensor& x);

  torch::Tensor weight;  ///< [out, in]; of a quantised layer without memory
  LowRankFactor lora_A{nullptr};
  LowRankFactor lora_B{nullptr};

 private:
  BasePrecision precision_ = BasePrecision::kAuto;
  bool gradients_ = false;
  FrozenMatrix quantised_;              ///< undefined before fill()
  torch::Device device_ = torch::kCPU;  ///< of `quantised_`
  double lora_scale_ = 0.0;
  bool lora_enabled_ = true;
};
TORCH_MODULE(Linear);

/// The outputs of several layers for one input x [..., in], which is read once where their weights
/// are frozen and all of them or none have LoRA of one rank and scale.
std::vector<torch::Tensor> project_all(const std::vector<Linear>& layers, const torch::Tensor& x);

/// The weights of several layers of one input below each other, [sum of out, in]: one matrix for
/// one product. Their memory moves there (values stay, and nothing where it was done before), so
/// that no second copy of the weights lives. Weights of one dtype and device, not quantised. Rows
/// of `below`, which belong to none of the layers, are copied behind theirs: then the memory always
/// moves, since older rows may be in use.
torch::Tensor join_weights(const std::vector<Linear>& layers, const torch::Tensor& below = {});

}  // namespace lococo
