#include "tensor/activation_checkpoint.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/custom_class.h>

namespace lococo {
namespace {

using LayerFunction = std::function<torch::Tensor(const torch::Tensor&)>;

/// Lets the autograd context own what is not a tensor.
struct CheckpointedLayer : torch::CustomClassHolder {
  LayerFunction fn;
  std::vector<torch::Tensor> parameters;
};

struct CheckpointFunction : torch::autograd::Function<CheckpointFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const LayerFunction& fn,
                               const torch::Tensor& x, at::TensorList parameters) {
    auto layer = c10::make_intrusive<CheckpointedLayer>();
    layer->fn = fn;
    layer->parameters = parameters.vec();
    context->saved_data["layer"] = c10::IValue::make_capsule(std::move(layer));
    context->save_for_backward({x});
    torch::NoGradGuard no_grad;
    return fn(x);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list output_gradients) {
    auto capsule = context->saved_data["layer"].toCapsule();
    auto* layer = static_cast<CheckpointedLayer*>(capsule.get());
    const auto saved = context->get_saved_variables()[0];

    torch::AutoGradMode with_grad(true);
    const auto x = saved.detach().requires_grad_(saved.requires_grad());
    const auto out = layer->fn(x);
    std::vector<torch::Tensor> inputs;
    if (x.requires_grad()) inputs.push_back(x);
    inputs.insert(inputs.end(), layer->parameters.begin(), layer->parameters.end());
    auto gradients =
        torch::autograd::grad({out}, inputs, {output_gradients[0]}, /*retain_graph=*/false,
                              /*create_graph=*/false, /*allow_unused=*/true);
    torch::autograd::variable_list result = {torch::Tensor()};  // fn has no gradient
    if (!x.requires_grad()) result.emplace_back();
    result.insert(result.end(), gradients.begin(), gradients.end());
    return result;
  }
};

}  // namespace

torch::Tensor activation_checkpoint(LayerFunction fn, const torch::Tensor& x,
                                    const std::vector<torch::Tensor>& parameters) {
  // Autograd sees the tensors of a TensorList, not those of a std::vector.
  return CheckpointFunction::apply(fn, x, at::TensorList(parameters));
}

}  // namespace lococo
