#include "train/loss.h"

#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/functional/loss.h>

#include <algorithm>

#include "tensor/matmul.h"
#include "tensor/shape.h"

namespace lococo {
namespace {

struct ChunkNll {
  torch::Tensor logits_XV;   ///< wide
  torch::Tensor lse_X;       ///< wide
  torch::Tensor targets_X1;  ///< ignored ones replaced by 0, so that they can index
  torch::Tensor counts_X;    ///< wide, 1 where the target counts
  torch::Tensor nll_X;       ///< wide, 0 where it does not
};

ChunkNll chunk_nll(const torch::Tensor& hidden_XE, const torch::Tensor& head_VE,
                   const torch::Tensor& targets_X) {
  ChunkNll chunk;
  const auto head_EV = head_VE.to(hidden_XE.scalar_type()).t();
  chunk.logits_XV = hidden_XE.scalar_type() == torch::kFloat64 ? torch::mm(hidden_XE, head_EV)
                                                               : matmul_f32(hidden_XE, head_EV);
  chunk.lse_X = torch::logsumexp(chunk.logits_XV, /*dim=*/-1);
  const auto valid_X = targets_X != kIgnoreTarget;
  chunk.targets_X1 = torch::where(valid_X, targets_X, torch::zeros_like(targets_X)).unsqueeze(-1);
  chunk.counts_X = valid_X.to(chunk.logits_XV.scalar_type());
  chunk.nll_X = (chunk.lse_X - chunk.logits_XV.gather(/*dim=*/1, chunk.targets_X1).squeeze(-1)) *
                chunk.counts_X;
  return chunk;
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
    auto total = torch::zeros(
        {},
        hidden_XE.options().dtype(dtype == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32));
    for (int64_t begin = 0; begin < hidden_XE.size(0); begin += chunk) {
      const int64_t rows = std::min(chunk, hidden_XE.size(0) - begin);
      const auto h = hidden_XE.narrow(/*dim=*/0, begin, rows);
      auto nll = chunk_nll(h, head, targets_X.narrow(/*dim=*/0, begin, rows));
      total += nll.nll_X.sum();
      if (!hidden_needs && !head_needs) continue;
      // d nll / d logits = softmax - onehot, in place of the logits.
      auto logit_gradient = nll.logits_XV.sub_(nll.lse_X.unsqueeze(-1)).exp_();
      logit_gradient.scatter_add_(/*dim=*/1, nll.targets_X1,
                                  torch::full_like(nll.counts_X, -1.0).unsqueeze(-1));
      logit_gradient = logit_gradient.mul_(nll.counts_X.unsqueeze(-1)).to(dtype);
      if (hidden_needs)
        hidden_gradient.narrow(/*dim=*/0, begin, rows).copy_(torch::mm(logit_gradient, head));
      if (head_needs) head_gradient += torch::mm(logit_gradient.t(), h).to(head_VE.scalar_type());
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
  namespace F = torch::nn::functional;
  const auto logits_XV = torch::mm(hidden_XE, head_VE.to(hidden_XE.scalar_type()).t());
  return F::cross_entropy(
      logits_XV, targets_X,
      F::CrossEntropyFuncOptions().ignore_index(kIgnoreTarget).reduction(torch::kSum));
}

torch::Tensor target_nll(const torch::Tensor& hidden_XE, const torch::Tensor& head_VE,
                         const torch::Tensor& targets_X, int64_t chunk) {
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> parts;
  const auto head = head_VE.to(hidden_XE.scalar_type());
  for (int64_t begin = 0; begin < hidden_XE.size(0); begin += chunk) {
    const int64_t rows = std::min(chunk, hidden_XE.size(0) - begin);
    parts.push_back(chunk_nll(hidden_XE.narrow(/*dim=*/0, begin, rows), head,
                              targets_X.narrow(/*dim=*/0, begin, rows))
                        .nll_X);
  }
  return torch::cat(parts).to(torch::kFloat32);
}

}  // namespace lococo
