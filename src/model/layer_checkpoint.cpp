#include "model/layer_checkpoint.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace lococo {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

std::vector<Tensor> trainable_parameters(const std::vector<Tensor>& parameters) {
  std::vector<Tensor> result;
  for (const auto& parameter : parameters) {
    if (parameter.requires_grad()) result.push_back(parameter);
  }
  return result;
}

/// Lets the autograd context own what is not a tensor.
struct KeptLayer : torch::CustomClassHolder {
  DecoderLayer layer{nullptr};
  AttentionInput input;
  bool recompute_attention = false;
  PatternMemo memo;  ///< empty where attention is recomputed
  std::vector<Tensor> parameters;
};

/// hidden + attention(norm(hidden)): the first half of a layer. `memo` as in SelfAttention.
Tensor attend(KeptLayer& kept, const Tensor& hidden_BLE, PatternMemo& memo) {
  auto& layer = kept.layer;
  const auto normed_BLE = layer->input_layernorm->forward(hidden_BLE);
  return hidden_BLE + layer->self_attn->forward(normed_BLE, kept.input, /*state=*/nullptr, &memo);
}

/// The same before gradients are known.
Tensor attend_first(KeptLayer& kept, const Tensor& hidden_BLE) {
  PatternMemo memo;
  const auto attended_BLE = attend(kept, hidden_BLE, memo);
  if (!kept.recompute_attention) kept.memo = std::move(memo);
  return attended_BLE;
}

/// The same in the backward pass, with a graph. The memo is given to that graph and goes with it,
/// while `kept` lives as long as the loss does: a second backward pass recomputes attention.
Tensor attend_again(KeptLayer& kept, const Tensor& hidden_BLE) {
  auto memo = std::exchange(kept.memo, {});
  return attend(kept, hidden_BLE, memo);
}

/// The feed-forward's weights for all its rows, if it is frozen.
std::optional<FrozenMlp> frozen_mlp_of(const DecoderLayer& layer, torch::ScalarType dtype) {
  if (!layer->mlp->is_frozen(dtype)) return std::nullopt;
  return layer->mlp->frozen(dtype);
}

/// attended + mlp(norm(attended)), without gradients.
Tensor feed_forward(DecoderLayer& layer, const Tensor& attended_BLE) {
  const auto frozen = frozen_mlp_of(layer, attended_BLE.scalar_type());
  auto out_XE = attended_BLE.clone().flatten(0, 1);
  for (int64_t begin = 0; begin < out_XE.size(0); begin += kFeedForwardRows) {
    auto rows_XE =
        out_XE.narrow(/*dim=*/0, begin, std::min(kFeedForwardRows, out_XE.size(0) - begin));
    const auto normed_XE = layer->post_attention_layernorm->forward(rows_XE);
    rows_XE.add_(frozen ? frozen_mlp(normed_XE, frozen->gate_FE, frozen->up_FE, frozen->down_EF)
                        : layer->mlp->forward(normed_XE));
  }
  return out_XE.view(attended_BLE.sizes());
}

/// Adds gradients in the order of `parameters`; undefined ones count as zero.
void add_gradients(variable_list& sums, const variable_list& more, size_t first) {
  for (size_t i = 0; i < sums.size(); ++i) {
    const auto& gradient = more[first + i];
    if (gradient.defined()) sums[i] = sums[i].defined() ? sums[i] + gradient : gradient;
  }
}

/// Of feed_forward(): makes the gradient of the output, which is contiguous, that of `attended`;
/// those of the parameters are added to `sums`.
void feed_forward_gradient(KeptLayer& kept, const Tensor& attended_BLE, const Tensor& gradient_BLE,
                           variable_list& sums) {
  auto& layer = kept.layer;
  const auto attended_XE = attended_BLE.detach().flatten(0, 1);
  const auto gradient_XE = gradient_BLE.view(attended_XE.sizes());
  const auto frozen = frozen_mlp_of(layer, attended_XE.scalar_type());
  for (int64_t begin = 0; begin < attended_XE.size(0); begin += kFeedForwardRows) {
    const int64_t rows = std::min(kFeedForwardRows, attended_XE.size(0) - begin);
    auto x_XE = attended_XE.narrow(/*dim=*/0, begin, rows).detach().requires_grad_(true);
    auto dy_XE = gradient_XE.narrow(/*dim=*/0, begin, rows);
    const auto normed_XE = layer->post_attention_layernorm->forward(x_XE);
    std::vector<Tensor> inputs = {x_XE};
    inputs.insert(inputs.end(), kept.parameters.begin(), kept.parameters.end());
    const auto out = frozen ? normed_XE : layer->mlp->forward(normed_XE);
    const auto d_out = frozen ? frozen_mlp_gradient(dy_XE, normed_XE.detach(), frozen->gate_FE,
                                                    frozen->up_FE, frozen->down_EF)
                              : dy_XE;
    const auto gradients = torch::autograd::grad({out}, inputs, {d_out}, /*retain_graph=*/false,
                                                 /*create_graph=*/false, /*allow_unused=*/true);
    torch::NoGradGuard no_grad;
    add_gradients(sums, gradients, /*first=*/1);
    dy_XE.add_(gradients[0]);
  }
}

struct CheckpointFunction : torch::autograd::Function<CheckpointFunction> {
  static Tensor forward(AutogradContext* context, const c10::intrusive_ptr<KeptLayer>& kept,
                        const Tensor& hidden_BLE, at::TensorList) {
    torch::NoGradGuard no_grad;
    context->save_for_backward({hidden_BLE});
    context->saved_data["kept"] = c10::IValue::make_capsule(kept);
    return feed_forward(kept->layer, attend_first(*kept, hidden_BLE));
  }

  /// Takes the gradient out of autograd's own list, where it would live until the layer is done.
  static variable_list backward(AutogradContext* context, variable_list& output_gradients) {
    auto capsule = context->saved_data["kept"].toCapsule();
    auto& kept = *static_cast<KeptLayer*>(capsule.get());
    const auto saved = context->get_saved_variables()[0];
    torch::AutoGradMode with_grad(true);
    const auto hidden_BLE = saved.detach().requires_grad_(saved.requires_grad());
    auto attended_BLE = attend_again(kept, hidden_BLE);
    variable_list sums(kept.parameters.size());
    // A copy to be changed: others may hold the gradient too.
    const auto d_attended_BLE = output_gradients[0].clone(at::MemoryFormat::Contiguous);
    output_gradients[0].reset();
    feed_forward_gradient(kept, attended_BLE, d_attended_BLE, sums);
    variable_list result(2);  // the layer itself, and hidden
    if (attended_BLE.requires_grad()) {
      // From here on only its place in the graph is needed, while the attention's gradient needs
      // more memory than any other part.
      attended_BLE.set_data(torch::empty({0}, attended_BLE.options()));
      std::vector<Tensor> inputs = kept.parameters;
      if (hidden_BLE.requires_grad()) inputs.push_back(hidden_BLE);
      const auto gradients =
          torch::autograd::grad({attended_BLE}, inputs, {d_attended_BLE}, /*retain_graph=*/false,
                                /*create_graph=*/false, /*allow_unused=*/true);
      torch::NoGradGuard no_grad;
      add_gradients(sums, gradients, /*first=*/0);
      if (hidden_BLE.requires_grad()) result[1] = gradients.back();
    }
    result.insert(result.end(), sums.begin(), sums.end());
    return result;
  }
};

}  // namespace

Tensor checkpoint_layer(DecoderLayer layer, const Tensor& hidden_BLE, const AttentionInput& input,
                        bool recompute_attention) {
  auto kept = c10::make_intrusive<KeptLayer>();
  kept->layer = layer;
  kept->input = input;
  kept->recompute_attention = recompute_attention;
  kept->parameters = trainable_parameters(layer->parameters());
  return CheckpointFunction::apply(kept, hidden_BLE, at::TensorList(kept->parameters));
}

}  // namespace lococo
