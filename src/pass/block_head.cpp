#include "pass/block_head.h"

#include "pass/batch.h"
#include "pass/loss.h"
#include "tensor/kit/torch.h"

namespace lococo {

void BlockHead::allocate(int64_t B, int64_t length, torch::Device device) {
  const auto floats = torch::dtype(torch::kFloat32).device(device);
  targets_BL_ = torch::zeros({B, length}, floats.dtype(torch::kInt64));
  loss_sum_ = torch::zeros({}, floats);
  nll_BL_ = torch::zeros({B, length}, floats);
}

int64_t BlockHead::scored(const BlockStep& step) const {
  return queries_with_target(step, !options_.train || options_.boundary_targets);
}

torch::Tensor BlockHead::score(Llama& model, const BlockStep& step,
                               const torch::Tensor& hidden_BLE) {
  const int64_t count = scored(step);
  if (count == 0) return {};
  const auto targets_X = targets_BL_.narrow(/*dim=*/1, 0, count).reshape({-1});
  const auto hidden_XE = hidden_BLE.narrow(/*dim=*/1, 0, count).flatten(0, 1);
  if (!options_.train) {
    const auto nll_X = target_nll(hidden_XE, model->head_weight(), targets_X, options_.loss_chunk);
    nll_BL_.narrow(/*dim=*/1, 0, count).copy_(nll_X.view({-1, count}));
    return {};
  }
  const auto loss =
      chunked_cross_entropy(hidden_XE, model->head_weight(), targets_X, options_.loss_chunk);
  torch::NoGradGuard no_grad;
  loss_sum_.add_(loss);
  return loss;
}

}  // namespace lococo
