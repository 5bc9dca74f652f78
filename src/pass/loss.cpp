#include "pass/loss.h"

#include <ATen/core/Reduction.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "tensor/kit/matmul.h"
#include "tensor/kit/shape.h"
#include "tensor/kit/wide.h"
#include "tensor/layers/softmax_cross_entropy.h"

namespace lococo {
namespace {

/// What one chunk of rows gives.
struct ChunkLoss {
  torch::Tensor nll_X;              ///< 0 where the target does not count
  torch::Tensor logit_gradient_XV;  ///< d nll / d logits in the dtype of hidden, when asked for
};

/// The same as softmax_cross_entropy(), in tensor operations. log_softmax is one pass each way,
/// where logsumexp and exp were several.
ChunkLoss cross_entropy_of(const torch::Tensor& logits_XV, const torch::Tensor& targets_X,
                           std::optional<torch::ScalarType> gradient_dtype) {
  const auto valid_X = targets_X != kIgnoreTarget;
  // Ignored targets become 0, so that they can index.
  const auto targets_X1 =
      torch::where(valid_X, targets_X, torch::zeros_like(targets_X)).unsqueeze(-1);
  const auto counts_X = valid_X.to(logits_XV.scalar_type());
  auto log_p_XV = torch::log_softmax(logits_XV, /*dim=*/-1);
  ChunkLoss loss;
  loss.nll_X = -log_p_XV.gather(/*dim=*/1, targets_X1).squeeze(-1) * counts_X;
  if (!gradient_dtype) return loss;
  // softmax - onehot, in place of the logarithms.
  log_p_XV.exp_();
  log_p_XV.scatter_add_(/*dim=*/1, targets_X1, torch::full_like(counts_X, -1.0).unsqueeze(-1));
  loss.logit_gradient_XV = log_p_XV.mul_(counts_X.unsqueeze(-1)).to(*gradient_dtype);
  return loss;
}

ChunkLoss chunk_loss(const torch::Tensor& hidden_XE, const torch::Tensor& head_VE,
                     const torch::Tensor& targets_X, bool with_gradient) {
  const auto dtype = hidden_XE.scalar_type();
  const auto head_EV = head_VE.to(dtype).t();
  auto logits_XV =
      dtype == torch::kFloat64 ? torch::mm(hidden_XE, head_EV) : matmul_f32(hidden_XE, head_EV);
  const auto gradient_dtype = with_gradient ? std::optional(dtype) : std::nullopt;
  if (softmax_cross_entropy_takes(logits_XV, dtype)) {
    auto fused = softmax_cross_entropy(logits_XV, targets_X, kIgnoreTarget, gradient_dtype);
    return {fused.nll_X, fused.gradient_XV};
  }
  return cross_entropy_of(logits_XV, targets_X, gradient_dtype);
}

/// sum_VE += a_XV' b_XE; a float32 sum of half precision products stays float32 throughout.
void add_product(torch::Tensor& sum_VE, const torch::Tensor& a_XV, const torch::Tensor& b_XE) {
  const auto sum_dtype = sum_VE.scalar_type();
  if (sum_dtype == a_XV.scalar_type()) {
    sum_VE.addmm_(a_XV.t(), b_XE);
  } else if (a_XV.is_cuda() && sum_dtype == torch::kFloat32) {
    at::addmm_out(sum_VE, sum_VE, a_XV.t(), b_XE, torch::kFloat32);
  } else {
    sum_VE += torch::mm(a_XV.t(), b_XE).to(sum_dtype);
  }
}

struct ChunkedCrossEntropy : torch::autograd::Function<ChunkedCrossEntropy> {
  static torch::Tensor forward(torch::autograd::AutogradContext* context,
                               const torch::Tensor& hidden_XE, const torch::Tensor& head_VE,
                               const torch::Tensor& targets_X, int64_t chunk) {
    torch::NoGradGuard no_grad;
    const bool hidden_needs = hidden_XE.requires_grad(), head_needs = head_VE.requires_grad();
    const auto dtype = hidden_XE.scalar_type();
    const auto head = head_VE.to(dtype);
    auto hidden_gradient = hidden_needs ? torch::empty_like(hidden_XE) : torch::Tensor();
    auto head_gradient = head_needs ? torch::zeros_like(head_VE) : torch::Tensor();
    auto total = torch::zeros({}, hidden_XE.options().dtype(wide_of(dtype)));
    for (int64_t begin = 0; begin < hidden_XE.size(0); begin += chunk) {
      const int64_t rows = std::min(chunk, hidden_XE.size(0) - begin);
      const auto h = hidden_XE.narrow(/*dim=*/0, begin, rows);
      const auto loss =
          chunk_loss(h, head, targets_X.narrow(/*dim=*/0, begin, rows), hidden_needs || head_needs);
      total += loss.nll_X.sum();
      if (hidden_needs) {
        auto slice = hidden_gradient.narrow(/*dim=*/0, begin, rows);
        at::mm_out(slice, loss.logit_gradient_XV, head);
      }
      if (head_needs) add_product(head_gradient, loss.logit_gradient_XV, h);
    }
    context->save_for_backward({hidden_gradient, head_gradient});
    return total;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list output_gradients) {
    const auto saved = context->get_saved_variables();
    auto scaled = [&](const torch::Tensor& gradient) {
      return gradient.defined() ? gradient * output_gradients[0].to(gradient.scalar_type())
                                : torch::Tensor();
    };
    return {scaled(saved[0]), scaled(saved[1]), torch::Tensor(), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor chunked_cross_entropy(const torch::Tensor& hidden_XE, const torch::Tensor& head_VE,
                                    const torch::Tensor& targets_X, int64_t chunk) {
  const int64_t X = hidden_XE.size(0), E = hidden_XE.size(1);
  CHECK_SHAPE(head_VE, -1, E);
  CHECK_SHAPE(targets_X, X);
  return ChunkedCrossEntropy::apply(hidden_XE, head_VE, targets_X, chunk);
}

torch::Tensor cross_entropy_reference(const torch::Tensor& hidden_XE, const torch::Tensor& head_VE,
                                      const torch::Tensor& targets_X) {
  const auto logits_XV = torch::mm(hidden_XE, head_VE.to(hidden_XE.scalar_type()).t());
  return at::cross_entropy_loss(logits_XV, targets_X, /*weight=*/{}, at::Reduction::Sum,
                                kIgnoreTarget);
}

torch::Tensor target_nll(const torch::Tensor& hidden_XE, const torch::Tensor& head_VE,
                         const torch::Tensor& targets_X, int64_t chunk) {
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> parts;
  const auto head = head_VE.to(hidden_XE.scalar_type());
  for (int64_t begin = 0; begin < hidden_XE.size(0); begin += chunk) {
    const int64_t rows = std::min(chunk, hidden_XE.size(0) - begin);
    parts.push_back(chunk_loss(hidden_XE.narrow(/*dim=*/0, begin, rows), head,
                               targets_X.narrow(/*dim=*/0, begin, rows), /*with_gradient=*/false)
                        .nll_X);
  }
  return torch::cat(parts).to(torch::kFloat32);
}

}  // namespace lococo
