#include "tensor/frozen_mlp.h"

#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include "tensor/shape.h"
#include "tensor/swiglu.h"

namespace lococo {
namespace {

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
    if (!output_gradients[0].defined()) return torch::autograd::variable_list(5);
    const auto saved = context->get_saved_variables();
    const auto &gate_FE = saved[0], &up_FE = saved[1], &down_EF = saved[2];
    const bool recompute = saved.size() == 4;
    const auto gate_XF = recompute ? at::linear(saved[3], gate_FE) : saved[3];
    const auto up_XF = recompute ? at::linear(saved[3], up_FE) : saved[4];
    const int64_t F = gate_FE.size(0), E = gate_FE.size(1);
    const auto d_activation_XF = at::mm(output_gradients[0].reshape({-1, E}), down_EF);
    const auto [d_gate_XF, d_up_XF] =
        swiglu_gradients(d_activation_XF, gate_XF.view({-1, F}), up_XF.view({-1, F}));
    auto d_x_XE = at::mm(d_gate_XF, gate_FE);
    d_x_XE.addmm_(d_up_XF, up_FE);
    return {d_x_XE.view(output_gradients[0].sizes()), {}, {}, {}, {}};
  }
};

}  // namespace

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
