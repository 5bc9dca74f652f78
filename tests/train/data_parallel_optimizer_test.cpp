#include "train/data_parallel_optimizer.h"

#include <torch/nn/utils/clip_grad.h>

#include <cmath>
#include <memory>
#include <utility>

#ifdef LOCOCO_WITH_CUDA
#include <c10/cuda/CUDAFunctions.h>
#endif

#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/lonely_rank.h"
#include "tests/train/made_parameter.h"

// One rank; tests/dist/sharding.cpp compares several.
namespace lococo {
namespace {

using testing::parameter;

std::vector<RegisteredParameter> replica_parameters(torch::Device device = torch::kCPU) {
  torch::manual_seed(1);
  std::vector<RegisteredParameter> made = {
      parameter("weight", {300, 70}, 1e-2, 0.1), parameter("norm", {7}, 1e-2, 0.0),
      parameter("mix", {}, 3e-3, 0.1), parameter("conv", {4, 3, 2}, 3e-3, 0.1)};
  for (auto& one : made) one.tensor = one.tensor.detach().to(device).set_requires_grad(true);
  return made;
}

void set_replica_gradients(const std::vector<RegisteredParameter>& parameters, int step) {
  torch::manual_seed(1000 + step);
  for (const auto& one : parameters) {
    const auto gradient = torch::randn(one.tensor.sizes()).to(one.tensor.device());
    torch::Tensor tensor = one.tensor;
    if (!tensor.grad().defined()) tensor.mutable_grad() = torch::zeros_like(tensor.detach());
    tensor.mutable_grad().copy_(gradient);
  }
}

/// A stage, of which it is given what the others bring to a sum.
class LonelyStage : public testing::LonelyRank {
 public:
  using LonelyRank::LonelyRank;

  void all_reduce_sum(std::vector<torch::Tensor>& tensors) override {
    brought = tensors.at(0).clone();
    if (of_others.defined()) tensors[0] += of_others;
  }

  torch::Tensor brought, of_others;
};

}  // namespace

TEST_CASE("Alone, a step is AdamW's own, bit for bit", "[train][optimizer]") {
  const auto communicator = make_single_communicator();
  const bool shard = GENERATE(false, true);
  DataParallelOptimizer optimizer(replica_parameters(), TrainConfig(), *communicator, shard);
  AdamW plain(replica_parameters(), TrainConfig());
  for (int step = 0; step < 4; ++step) {
    optimizer.zero_grad();
    set_replica_gradients(optimizer.parameters(), step);
    set_replica_gradients(plain.parameters(), step);
    optimizer.sum_gradients({});
    optimizer.scale_and_clip(1.0, 0.0);
    optimizer.step(0.9);
    plain.step(0.9);
    for (size_t i = 0; i < plain.parameters().size(); ++i)
      CHECK(torch::equal(optimizer.parameters()[i].tensor, plain.parameters()[i].tensor));
  }
  const auto state = optimizer.state_to_save();
  const auto expected = plain.state();
  REQUIRE(state.tensors.size() == expected.size());
  for (size_t i = 0; i < state.tensors.size(); ++i)
    CHECK(torch::equal(state.fetch(i), expected.at(state.tensors[i].name)));
}

TEST_CASE("The gradient norm is that of all gradients as one vector, the same bits each time",
          "[train][optimizer]") {
  const auto communicator = make_single_communicator();
  DataParallelOptimizer optimizer(replica_parameters(), TrainConfig(), *communicator, false);
  CHECK(optimizer.scale_and_clip(1.0, 0.0).item<double>() == 0.0);
  set_replica_gradients(optimizer.parameters(), 0);
  double squares = 0.0;
  for (const auto& one : optimizer.parameters())
    squares += one.tensor.grad().to(torch::kFloat64).square().sum().item<double>();
  const torch::Tensor norm = optimizer.scale_and_clip(1.0, 0.0);
  CHECK(norm.dim() == 0);
  CHECK(norm.scalar_type() == torch::kFloat32);
  CHECK(norm.item<double>() == Approx(std::sqrt(squares)).epsilon(1e-6));
  for (int i = 0; i < 20; ++i) CHECK(torch::equal(optimizer.scale_and_clip(1.0, 0.0), norm));
  CHECK(optimizer.scale_and_clip(4.0, 0.0).item<double>() == norm.item<double>() / 4);
}

TEST_CASE("The norm of a model's only stage is that of the model, bit for bit",
          "[train][optimizer]") {
  const auto communicator = make_single_communicator();
  DataParallelOptimizer whole(replica_parameters(), TrainConfig(), *communicator, false);
  DataParallelOptimizer stage(replica_parameters(), TrainConfig(), *communicator, false,
                              communicator.get());
  for (int step = 0; step < 20; ++step) {
    set_replica_gradients(whole.parameters(), step);
    set_replica_gradients(stage.parameters(), step);
    CHECK(torch::equal(stage.scale_and_clip(1.0, 0.0), whole.scale_and_clip(1.0, 0.0)));
  }
}

TEST_CASE("Stages scale their gradients by the norm of all of them", "[train][optimizer]") {
  constexpr int kStages = 3;
  const std::vector<std::pair<size_t, size_t>> parts = {{0, 1}, {1, 3}, {3, 4}};
  const auto communicator = make_single_communicator();
  DataParallelOptimizer whole(replica_parameters(), TrainConfig(), *communicator, false);
  set_replica_gradients(whole.parameters(), 0);
  std::vector<std::unique_ptr<LonelyStage>> ranks;
  std::vector<std::unique_ptr<DataParallelOptimizer>> stages;
  torch::Tensor sum;
  for (int stage = 0; stage < kStages; ++stage) {
    const auto all = replica_parameters();
    const auto [begin, end] = parts[static_cast<size_t>(stage)];
    ranks.push_back(std::make_unique<LonelyStage>(stage, kStages));
    stages.push_back(std::make_unique<DataParallelOptimizer>(
        std::vector<RegisteredParameter>(all.begin() + static_cast<std::ptrdiff_t>(begin),
                                         all.begin() + static_cast<std::ptrdiff_t>(end)),
        TrainConfig(), *communicator, false, ranks.back().get()));
    for (size_t i = begin; i < end; ++i) {
      torch::Tensor gradient = stages.back()->parameters()[i - begin].tensor.grad();
      gradient.copy_(whole.parameters()[i].tensor.grad());
    }
    stages.back()->scale_and_clip(1.0, 0.0);  // only measures: what does it bring?
    sum = sum.defined() ? sum + ranks.back()->brought : ranks.back()->brought.clone();
  }
  const double norm = whole.scale_and_clip(2.0, 0.5).item<double>();
  REQUIRE(std::isfinite(norm));
  for (int stage = 0; stage < kStages; ++stage) {
    const auto at = static_cast<size_t>(stage);
    ranks[at]->of_others = (sum - ranks[at]->brought) / 2;  // the divisor's
    CHECK(stages[at]->scale_and_clip(2.0, 0.5).item<double>() == Approx(norm).epsilon(1e-6));
    for (size_t i = parts[at].first; i < parts[at].second; ++i) {
      CHECK(torch::allclose(stages[at]->parameters()[i - parts[at].first].tensor.grad(),
                            whole.parameters()[i].tensor.grad(), 1e-5, 0.0));
    }
  }
}

TEST_CASE("Clipping scales as torch does and leaves small gradients as they are",
          "[train][optimizer]") {
  const auto communicator = make_single_communicator();
  DataParallelOptimizer ours(replica_parameters(), TrainConfig(), *communicator, false);
  const auto theirs = replica_parameters();
  set_replica_gradients(ours.parameters(), 0);
  set_replica_gradients(theirs, 0);
  std::vector<torch::Tensor> tensors;
  for (const auto& one : theirs) tensors.push_back(one.tensor);
  const double max_norm = GENERATE(0.0, 0.5, 1e3);
  const double norm = ours.scale_and_clip(1.0, max_norm).item<double>();
  const bool clipped = max_norm == 0.5;
  if (clipped) CHECK(torch::nn::utils::clip_grad_norm_(tensors, max_norm) == Approx(norm));
  const double after = ours.scale_and_clip(1.0, 0.0).item<double>();
  CHECK(after == Approx(clipped ? 0.5 : norm).epsilon(1e-5));
  for (size_t i = 0; i < theirs.size(); ++i) {
    CHECK(torch::allclose(ours.parameters()[i].tensor.grad(), theirs[i].tensor.grad(),
                          clipped ? 1e-6 : 0.0, 0.0));
  }
}

TEST_CASE("A gradient that is not finite makes the norm so", "[train][optimizer]") {
  const auto communicator = make_single_communicator();
  DataParallelOptimizer optimizer(replica_parameters(), TrainConfig(), *communicator, false);
  const float value = GENERATE(NAN, INFINITY);
  torch::Tensor(optimizer.parameters()[0].tensor.grad())[299][69] = value;
  CHECK_FALSE(std::isfinite(optimizer.scale_and_clip(1.0, 1.0).item<double>()));
}

#ifdef LOCOCO_WITH_CUDA
TEST_CASE("On a GPU a step does what it does on a CPU, without waiting for the GPU",
          "[train][optimizer][gpu]") {
  if (!torch::cuda::is_available()) SKIP("no GPU");
  const auto communicator = make_single_communicator();
  const torch::Device device(torch::kCUDA, 0);
  DataParallelOptimizer on_cpu(replica_parameters(), TrainConfig(), *communicator, false);
  DataParallelOptimizer on_gpu(replica_parameters(device), TrainConfig(), *communicator, false);
  for (int step = 0; step < 8; ++step) {
    set_replica_gradients(on_cpu.parameters(), step);
    set_replica_gradients(on_gpu.parameters(), step);
    const torch::Tensor expected = on_cpu.scale_and_clip(3.0, 1.0);
    on_cpu.step(1.0);
    c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_ERROR);
    const torch::Tensor norm = on_gpu.scale_and_clip(3.0, 1.0);
    on_gpu.step(1.0);
    on_gpu.zero_grad();
    c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_DISABLED);
    CHECK(norm.device() == device);
    CHECK(norm.item<double>() == Approx(expected.item<double>()).epsilon(1e-5));
  }
  for (size_t i = 0; i < on_cpu.parameters().size(); ++i) {
    CHECK(torch::allclose(on_gpu.parameters()[i].tensor.cpu(), on_cpu.parameters()[i].tensor, 1e-5,
                          1e-6));
  }
}
#endif

}  // namespace lococo
