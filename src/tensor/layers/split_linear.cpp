#include "tensor/layers/split_linear.h"

#include <torch/csrc/autograd/custom_function.h>

#include "tensor/kit/matmul.h"
#include "tensor/kit/shape.h"

namespace lococo {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct SplitLinear : torch::autograd::Function<SplitLinear> {
  static Tensor forward(AutogradContext* context, const Tensor& x_XE, const Tensor& weight_PE) {
    const torch::NoGradGuard no_grad;
    const auto first_PE = weight_PE.to(x_XE.scalar_type());
    const auto rest_PE = (weight_PE - first_PE).to(x_XE.scalar_type());
    context->save_for_backward({x_XE, first_PE});
    const auto both_XQ = matmul_f32(x_XE, torch::cat({first_PE, rest_PE}).t());
    const int64_t P = weight_PE.size(0);
    return both_XQ.narrow(/*dim=*/1, 0, P) + both_XQ.narrow(1, P, P);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const auto &x_XE = saved[0], &first_PE = saved[1];
    const auto d_XP = gradients[0].to(x_XE.scalar_type());
    Tensor d_x_XE, d_weight_PE;
    if (context->needs_input_grad(0)) d_x_XE = torch::mm(d_XP, first_PE);
    if (context->needs_input_grad(1)) d_weight_PE = matmul_f32(d_XP.t(), x_XE);
    return {d_x_XE, d_weight_PE};
  }
};

}  // namespace

Tensor split_linear(const Tensor& x_XE, const Tensor& weight_PE) {
  CHECK_SHAPE(weight_PE, -1, x_XE.size(1));
  TORCH_CHECK(x_XE.scalar_type() == torch::kBFloat16 && weight_PE.scalar_type() == torch::kFloat32,
              "split_linear: bfloat16 inputs and float32 weights, not ", x_XE.scalar_type(),
              " and ", weight_PE.scalar_type());
  return SplitLinear::apply(x_XE, weight_PE);
}

}  // namespace lococo
