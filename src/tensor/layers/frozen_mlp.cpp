#include "tensor/layers/frozen_mlp.h"

#include <torch/csrc/autograd/custom_function.h>

#include "tensor/layers/swiglu.h"

namespace lococo {
namespace {

/// Through down, the activation, and gate and up.
torch::Tensor input_gradient(const torch::Tensor& d_out_XE, const torch::Tensor& gate_XF,
                             const torch::Tensor& up_XF, const FrozenMatrix& gate_FE,
                             const FrozenMatrix& up_FE, const FrozenMatrix& down_EF) {
  const int64_t F = gate_FE.out_features(), E = gate_FE.in_features();
  const auto d_activation_XF = down_EF.input_gradient(d_out_XE.reshape({-1, E}));
  const auto [d_gate_XF, d_up_XF] =
      swiglu_gradients(d_activation_XF, gate_XF.view({-1, F}), up_XF.view({-1, F}));
  auto d_x_XE = gate_FE.input_gradient(d_gate_XF);
  up_FE.add_input_gradient(d_x_XE, d_up_XF);
  return d_x_XE.view(d_out_XE.sizes());
}

struct FrozenMlpFunction : torch::autograd::Function<FrozenMlpFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x_XE,
                               const FrozenMatrix& gate_FE, const FrozenMatrix& up_FE,
                               const FrozenMatrix& down_EF, bool recompute) {
    const auto both = products({gate_FE, up_FE}, x_XE);
    const auto &gate_XF = both[0], &up_XF = both[1];
    context->saved_data["weights"] = keep_matrices({gate_FE, up_FE, down_EF});
    if (recompute) {
      context->save_for_backward({x_XE});
    } else {
      context->save_for_backward({gate_XF, up_XF});
    }
    context->set_materialize_grads(false);
    return down_EF.product(swiglu(gate_XF, up_XF));
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list output_gradients) {
    torch::autograd::variable_list gradients(5);
    const auto& d_out_XE = output_gradients[0];
    if (!d_out_XE.defined()) return gradients;
    const auto saved = context->get_saved_variables();
    const auto& w = kept_matrices(context->saved_data["weights"]);
    const bool recompute = saved.size() == 1;
    gradients[0] = recompute ? frozen_mlp_gradient(d_out_XE, saved[0], w[0], w[1], w[2])
                             : input_gradient(d_out_XE, saved[0], saved[1], w[0], w[1], w[2]);
    return gradients;
  }
};

}  // namespace

torch::Tensor frozen_mlp_gradient(const torch::Tensor& d_out_XE, const torch::Tensor& x_XE,
                                  const FrozenMatrix& gate_FE, const FrozenMatrix& up_FE,
                                  const FrozenMatrix& down_EF) {
  torch::NoGradGuard no_grad;
  const auto both = products({gate_FE, up_FE}, x_XE);
  return input_gradient(d_out_XE, both[0], both[1], gate_FE, up_FE, down_EF);
}

torch::Tensor frozen_mlp(const torch::Tensor& x_XE, const FrozenMatrix& gate_FE,
                         const FrozenMatrix& up_FE, const FrozenMatrix& down_EF, bool recompute) {
  const int64_t E = x_XE.size(-1), F = gate_FE.out_features();
  TORCH_CHECK(gate_FE.in_features() == E && up_FE.out_features() == F && up_FE.in_features() == E &&
                  down_EF.out_features() == E && down_EF.in_features() == F,
              "want gate and up [F, E] and down [E, F] for x of width ", E);
  return FrozenMlpFunction::apply(x_XE, gate_FE, up_FE, down_EF, recompute);
}

}  // namespace lococo
