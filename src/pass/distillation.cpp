#include "pass/distillation.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "tensor/kit/matmul.h"
#include "tensor/kit/shape.h"
#include "tensor/kit/wide.h"
#include "tensor/layers/softmax_divergence.h"

namespace lococo {
namespace {

torch::Tensor logits_of(const torch::Tensor& hidden_XE, const torch::Tensor& head_VE) {
  const auto head_EV = head_VE.to(hidden_XE.scalar_type()).t();
  return hidden_XE.scalar_type() == torch::kFloat64 ? torch::mm(hidden_XE, head_EV)
                                                    : matmul_f32(hidden_XE, head_EV);
}

DistilledRows part_of(const DistilledRows& rows, int64_t begin, int64_t count) {
  const auto part = [&](const torch::Tensor& x) {
    return x.defined() ? x.narrow(/*dim=*/0, begin, count) : x;
  };
  return {part(rows.weights_X), part(rows.targets_X), part(rows.truth_X)};
}

/// The loss of some rows, and its gradient to the student's logits.
struct ChunkDivergence {
  torch::Tensor sum, gradient_XV;
};

ChunkDivergence fused_loss(const torch::Tensor& student_XV, const torch::Tensor& teacher_XV,
                           const DistilledRows& rows) {
  const auto found =
      softmax_divergence(student_XV, teacher_XV, rows.weights_X, rows.targets_X, rows.truth_X);
  return {found.loss_X.sum(), found.gradient_XV};
}

ChunkDivergence slow_loss(const torch::Tensor& student_XV, const torch::Tensor& teacher_XV,
                          const DistilledRows& rows, torch::ScalarType dtype) {
  const auto mine_XV = torch::log_softmax(student_XV, /*dim=*/-1);
  const auto wanted_XV = torch::log_softmax(teacher_XV, /*dim=*/-1);
  auto probability_XV = wanted_XV.exp();
  auto loss_X = (probability_XV * (wanted_XV - mine_XV)).sum(/*dim=*/1);
  if (rows.truth_X.defined()) {
    const auto truth_X = rows.truth_X.to(loss_X.scalar_type());
    const auto target_X1 = rows.targets_X.unsqueeze(1);
    loss_X = (1 - truth_X) * loss_X - truth_X * mine_XV.gather(/*dim=*/1, target_X1).squeeze(1);
    const auto truth_X1 = truth_X.unsqueeze(1);
    probability_XV.mul_(1 - truth_X1).scatter_add_(/*dim=*/1, target_X1, truth_X1);
  }
  const auto weight_X = rows.weights_X.to(loss_X.scalar_type());
  // d loss / d logits = softmax - what is wanted.
  const auto gradient_XV = (mine_XV.exp() - probability_XV) * weight_X.unsqueeze(1);
  return {(loss_X * weight_X).sum(), gradient_XV.to(dtype)};
}

ChunkDivergence loss_of(const torch::Tensor& student_XV, const torch::Tensor& teacher_XV,
                        const DistilledRows& rows, torch::ScalarType dtype) {
  if (dtype == torch::kBFloat16 && softmax_divergence_takes(student_XV) &&
      softmax_divergence_takes(teacher_XV))
    return fused_loss(student_XV, teacher_XV, rows);
  return slow_loss(student_XV, teacher_XV, rows, dtype);
}

struct Distillation : torch::autograd::Function<Distillation> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context,
                               const torch::Tensor& hidden_XE, const torch::Tensor& teacher_XE,
                               const torch::Tensor& head_VE, int64_t chunk,
                               const DistilledRows& known) {
    torch::NoGradGuard no_grad;
    const auto dtype = hidden_XE.scalar_type();
    const auto head = head_VE.to(dtype);
    auto total = torch::zeros({}, hidden_XE.options().dtype(wide_of(dtype)));
    auto gradient_XE = torch::empty_like(hidden_XE);
    for (int64_t begin = 0; begin < hidden_XE.size(0); begin += chunk) {
      const int64_t rows = std::min(chunk, hidden_XE.size(0) - begin);
      const auto student_XV = logits_of(hidden_XE.narrow(/*dim=*/0, begin, rows), head);
      const auto teacher_XV = logits_of(teacher_XE.narrow(/*dim=*/0, begin, rows), head);
      const auto loss = loss_of(student_XV, teacher_XV, part_of(known, begin, rows), dtype);
      total += loss.sum;
      gradient_XE.narrow(/*dim=*/0, begin, rows).copy_(torch::mm(loss.gradient_XV, head));
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
                                const DistilledRows& rows) {
  const int64_t X = hidden_XE.size(0);
  CHECK_SHAPE(teacher_XE, X, hidden_XE.size(1));
  CHECK_SHAPE(head_VE, -1, hidden_XE.size(1));
  DistilledRows known = rows;
  if (!known.weights_X.defined()) known.weights_X = torch::ones({X}, hidden_XE.options());
  CHECK_SHAPE(known.weights_X, X);
  if (known.truth_X.defined()) {
    CHECK_SHAPE(known.truth_X, X);
    CHECK_SHAPE(known.targets_X, X);
  }
  return Distillation::apply(hidden_XE, teacher_XE.detach(), head_VE.detach(), chunk, known);
}

torch::Tensor distillation_loss_reference(const torch::Tensor& hidden_XE,
                                          const torch::Tensor& teacher_XE,
                                          const torch::Tensor& head_VE, const DistilledRows& rows) {
  const auto head = head_VE.detach().to(hidden_XE.scalar_type());
  const auto mine = torch::log_softmax(torch::mm(hidden_XE, head.t()), /*dim=*/-1);
  const auto wanted = torch::log_softmax(torch::mm(teacher_XE.detach(), head.t()), /*dim=*/-1);
  auto loss_X = (wanted.exp() * (wanted - mine)).sum(/*dim=*/-1);
  if (rows.truth_X.defined()) {
    const auto surprise_X = -mine.gather(/*dim=*/1, rows.targets_X.unsqueeze(1)).squeeze(1);
    loss_X = (1 - rows.truth_X) * loss_X + rows.truth_X * surprise_X;
  }
  return rows.weights_X.defined() ? (loss_X * rows.weights_X).sum() : loss_X.sum();
}

}  // namespace lococo
