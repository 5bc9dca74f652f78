#include "pass/distillation.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "tensor/kit/matmul.h"
#include "tensor/kit/shape.h"
#include "tensor/kit/wide.h"

namespace lococo {
namespace {

torch::Tensor log_probabilities(const torch::Tensor& hidden_XE, const torch::Tensor& head_VE) {
  const auto head_EV = head_VE.to(hidden_XE.scalar_type()).t();
  const auto logits_XV = hidden_XE.scalar_type() == torch::kFloat64
                             ? torch::mm(hidden_XE, head_EV)
                             : matmul_f32(hidden_XE, head_EV);
  return torch::log_softmax(logits_XV, /*dim=*/-1);
}

struct Distillation : torch::autograd::Function<Distillation> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context,
                               const torch::Tensor& hidden_XE, const torch::Tensor& teacher_XE,
                               const torch::Tensor& head_VE, int64_t chunk,
                               const torch::Tensor& weights_X) {
    torch::NoGradGuard no_grad;
    const auto dtype = hidden_XE.scalar_type();
    const auto head = head_VE.to(dtype);
    const auto wide = wide_of(dtype);
    auto total = torch::zeros({}, hidden_XE.options().dtype(wide));
    auto gradient_XE = torch::empty_like(hidden_XE);
    for (int64_t begin = 0; begin < hidden_XE.size(0); begin += chunk) {
      const int64_t rows = std::min(chunk, hidden_XE.size(0) - begin);
      const auto mine = log_probabilities(hidden_XE.narrow(/*dim=*/0, begin, rows), head);
      const auto wanted = log_probabilities(teacher_XE.narrow(/*dim=*/0, begin, rows), head);
      const auto wanted_probability = wanted.exp();
      const auto weight_X1 = weights_X.narrow(/*dim=*/0, begin, rows).to(wide).unsqueeze(1);
      total += (wanted_probability * (wanted - mine) * weight_X1).sum();
      // d KL / d logits = softmax - teacher's softmax.
      const auto logit_gradient = ((mine.exp() - wanted_probability) * weight_X1).to(dtype);
      gradient_XE.narrow(/*dim=*/0, begin, rows).copy_(torch::mm(logit_gradient, head));
    }
    context->save_for_backward({gradient_XE});
    return total;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto gradient_XE = context->get_saved_variables()[0];
    return {gradient_XE * gradients[0].to(gradient_XE.scalar_type()), torch::Tensor(),
            torch::Tensor(), torch::Tensor(), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor distillation_loss(const torch::Tensor& hidden_XE, const torch::Tensor& teacher_XE,
                                const torch::Tensor& head_VE, int64_t chunk,
                                const torch::Tensor& weights_X) {
  CHECK_SHAPE(teacher_XE, hidden_XE.size(0), hidden_XE.size(1));
  CHECK_SHAPE(head_VE, -1, hidden_XE.size(1));
  const auto weights =
      weights_X.defined() ? weights_X : torch::ones({hidden_XE.size(0)}, hidden_XE.options());
  CHECK_SHAPE(weights, hidden_XE.size(0));
  return Distillation::apply(hidden_XE, teacher_XE.detach(), head_VE.detach(), chunk,
                             weights.detach());
}

torch::Tensor distillation_loss_reference(const torch::Tensor& hidden_XE,
                                          const torch::Tensor& teacher_XE,
                                          const torch::Tensor& head_VE,
                                          const torch::Tensor& weights_X) {
  const auto head = head_VE.detach().to(hidden_XE.scalar_type());
  const auto mine = torch::log_softmax(torch::mm(hidden_XE, head.t()), /*dim=*/-1);
  const auto wanted = torch::log_softmax(torch::mm(teacher_XE.detach(), head.t()), /*dim=*/-1);
  const auto divergence_X = (wanted.exp() * (wanted - mine)).sum(/*dim=*/-1);
  return weights_X.defined() ? (divergence_X * weights_X).sum() : divergence_X.sum();
}

}  // namespace lococo
