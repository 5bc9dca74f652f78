#include "train/step_sums.h"

#include "dist/activity.h"
#include "tensor/kit/torch.h"

namespace lococo {

StepSums sum_over_ranks(const std::vector<PassResult>& results, int64_t tokens, Communicator& world,
                        const Pipeline* pipeline, torch::Device device,
                        DataParallelOptimizer* optimizer) {
  auto loss_sum = torch::zeros({}, torch::dtype(torch::kFloat32).device(device));
  int64_t targets = 0;
  for (const PassResult& result : results) {
    loss_sum += result.loss_sum;
    targets += result.targets;
  }
  const auto counts = torch::tensor({targets, tokens}, torch::kInt64).to(device);
  std::vector<torch::Tensor> sums = {loss_sum, counts};
  if (pipeline == nullptr) {
    optimizer->sum_gradients(sums);
  } else {
    optimizer->sum_gradients({});
    const Doing doing("loss");
    world.all_reduce_sum(sums);
  }
  const auto counts_host = counts.cpu();
  return {loss_sum.item<double>(), counts_host[0].item<int64_t>(), counts_host[1].item<int64_t>()};
}

}  // namespace lococo
