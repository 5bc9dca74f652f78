#include "tensor/layers/frozen_mlp.h"

#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include "tensor/kit/shape.h"
#include "tensor/layers/swiglu.h"

namespace lococo {
namespace {

/// Through down, the activation, and gate and up.
torch::Tensor input_gradient(const torch::Tensor& d_out_XE, const torch::Tensor& gate_XF,
                             const torch::Tensor& up_XF, const torch::Tensor& gate_FE,
                             const torch::Tensor& up_FE, const torch::Tensor& down_EF) {
  const int64_t F = gate_FE.size(0), E = gate_FE.size(1);
  const auto d_activation_XF = at::mm(d_out_XE.reshape({-1, E}), down_EF);
  const auto [d_gate_XF, d_up_XF] =
      swiglu_gradients(d_activation_XF, gate_XF.view({-1, F}), up_XF.view({-1, F}));
  auto d_x_XE = at::mm(d_gate_XF, gate_FE);
  d_x_XE.addmm_(d_up_XF, up_FE);
  return d_x_XE.view(d_out_XE.sizes());
}

struct FrozenMlpFunction : torch::autograd::Function<FrozenMlpFunction> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x_XE,
                               const torch::Tensor& gate_FE, const torch::Tensor& up_FE,
                               const torch::Tensor& down_EF, bool recompute) {
    const auto gate_XF = at::linear(x_XE, gate_FE), up_XF = at::linear(x_XE, up_FE);
    if (recompute) {
      context->save_for_backward({gate_FE, up_FE, down_EF, x_XE});
    } else {
      context->save_for_backward({gate_FE, up_FE, down_EF, gate_XF, up_XF});
    }
    context->set_materialize_grads(false);
    return at::linear(swiglu(gate_XF, up_XF), down_EF);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list output_gradients) {
    torch::autograd::variable_list gradients(5);
    const auto& d_out_XE = output_gradients[0];
    if (!d_out_XE.defined()) return gradients;
    const auto saved = context->get_saved_variables();
    const bool recompute = saved.size() == 4;
    gradients[0] = recompute
                       ? frozen_mlp_gradient(d_out_XE, saved[3], saved[0], saved[1], saved[2])
                       : input_gradient(d_out_XE, saved[3], saved[4], saved[0], saved[1], saved[2]);
    return gradients;
  }
};

}  // namespace

torch::Tensor frozen_mlp_gradient(const torch::Tensor& d_out_XE, const torch::Tensor& x_XE,
                                  const torch::Tensor& gate_FE, const torch::Tensor& up_FE,
                                  const torch::Tensor& down_EF) {
  torch::NoGradGuard no_grad;
  return input_gradient(d_out_XE, at::linear(x_XE, gate_FE), at::linear(x_XE, up_FE), gate_FE,
                        up_FE, down_EF);
}

torch::Tensor frozen_mlp(const torch::Tensor& x_XE, const torch::Tensor& gate_FE,
                         const torch::Tensor& up_FE, const torch::Tensor& down_EF, bool recompute) {
  const int64_t E = x_XE.size(-1), F = gate_FE.size(0);
  CHECK_SHAPE(gate_FE, F, E);
  CHECK_SHAPE(up_FE, F, E);
  CHECK_SHAPE(down_EF, E, F);
  TORCH_CHECK(!gate_FE.requires_grad() && !up_FE.requires_grad() && !down_EF.requires_grad(),
              "frozen_mlp gives its weights no gradient");
  return FrozenMlpFunction::apply(x_XE, gate_FE, up_FE, down_EF, recompute);
}

}  // namespace lococo
