#include "tests/dist/sharding.h"

#include <string>
#include <vector>

#include "tensor/kit/torch.h"
#include "tests/dist/check.h"
#include "train/data_parallel_optimizer.h"

namespace lococo::testing {
namespace {

RegisteredParameter parameter(const std::string& name, torch::IntArrayRef shape, double rate,
                              double decay, torch::Device device) {
  RegisteredParameter made;
  made.name = name;
  made.tensor = torch::randn(shape).to(device).set_requires_grad(true);
  made.trainable = true;
  made.learning_rate = rate;
  made.weight_decay = decay;
  return made;
}

// Rates and decays that need several fused calls; parameters of fewer elements than ranks, of less
// than a chunk, of chunks that no number of ranks divides, and "weight", which ranks share.
std::vector<RegisteredParameter> parameters_of_test(torch::Device device) {
  torch::manual_seed(1);
  return {parameter("scale", {}, 1e-2, 0.0, device),
          parameter("bias", {3}, 3e-3, 0.0, device),
          parameter("weight", {70, 173}, 3e-3, 0.1, device),
          parameter("norm", {1024}, 3e-3, 0.0, device),
          parameter("unused", {2000}, 1e-2, 0.1, device),
          parameter("conv", {1031}, 1e-2, 0.1, device)};
}

// Of one rank at one step; those of "unused" stay zero.
void add_gradients(const DataParallelOptimizer& optimizer, int rank, int step) {
  torch::manual_seed(1000 * step + rank);
  for (const auto& one : optimizer.parameters()) {
    const auto gradient = torch::randn(one.tensor.sizes());
    if (one.name != "unused")
      torch::Tensor(one.tensor.grad()).add_(gradient.to(one.tensor.device()));
  }
}

torch::Tensor train_step(DataParallelOptimizer& optimizer, Communicator& communicator, int step,
                         double clip) {
  optimizer.zero_grad();
  add_gradients(optimizer, communicator.rank(), step);
  optimizer.sum_gradients({torch::ones({}, optimizer.parameters()[0].tensor.device())});
  const auto norm = optimizer.scale_and_clip(/*divisor=*/7.0, clip);
  optimizer.step(1.0 - 0.1 * step);
  return norm.cpu();
}

// The state as rank 0 would write it, given to all.
TensorMap whole_state(DataParallelOptimizer& optimizer, Communicator& communicator) {
  const StateToSave state = optimizer.state_to_save();
  TensorMap whole;
  if (communicator.is_main()) {
    for (size_t i = 0; i < state.tensors.size(); ++i)
      whole[state.tensors[i].name] = state.fetch(i).clone();
  } else {
    DataParallelOptimizer::hand_over(state);
  }
  for (const auto& one : optimizer.parameters()) {
    for (const char* what : {".m", ".v", ".step"}) {
      torch::Tensor& tensor = whole[one.name + what];
      const bool is_step = std::string(what) == ".step";
      if (!tensor.defined()) tensor = is_step ? torch::zeros({}) : torch::zeros(one.tensor.sizes());
      communicator.broadcast(tensor, 0);
    }
  }
  return whole;
}

bool same(const torch::Tensor& a, const torch::Tensor& b, torch::Device device) {
  return device.is_cpu() ? torch::equal(a, b) : torch::allclose(a, b, 1e-4, 1e-5);
}

void check_same_weights(const DataParallelOptimizer& a, const DataParallelOptimizer& b,
                        Communicator& communicator, torch::Device device) {
  for (size_t i = 0; i < a.parameters().size(); ++i) {
    DIST_CHECK(same(a.parameters()[i].tensor, b.parameters()[i].tensor, device));
    // Whatever the sums' order: ranks must not drift apart.
    torch::Tensor of_root = b.parameters()[i].tensor.detach().clone();
    communicator.broadcast(of_root, 0);
    DIST_CHECK(torch::equal(of_root, b.parameters()[i].tensor));
  }
}

void check_non_finite(DataParallelOptimizer& optimizer, TensorMap state,
                      Communicator& communicator) {
  DIST_CHECK(optimizer.state_to_save().not_finite.empty());
  state["weight.v"] = state["weight.v"].clone();
  state["weight.v"][69][172] = INFINITY;  // on one rank alone
  optimizer.load_state(state);
  DIST_CHECK(optimizer.state_to_save().not_finite == "weight.v");
}

}  // namespace

void check_sharding(Communicator& communicator, torch::Device device) {
  const TrainConfig config;
  for (const double clip : {0.0, 0.5}) {
    DataParallelOptimizer plain(parameters_of_test(device), config, communicator, false);
    DataParallelOptimizer sharded(parameters_of_test(device), config, communicator, true);
    for (int step = 0; step < 4; ++step) {
      const auto norm = train_step(plain, communicator, step, clip);
      DIST_CHECK(same(norm, train_step(sharded, communicator, step, clip), device));
      check_same_weights(plain, sharded, communicator, device);
    }
    const TensorMap state = whole_state(sharded, communicator);
    DIST_CHECK(state.size() == 3 * plain.parameters().size());
    for (const auto& [name, tensor] : whole_state(plain, communicator))
      DIST_CHECK(same(tensor, state.at(name), device));
    DIST_CHECK(state.at("weight.step").item<float>() == 4.0f);

    // A run goes on with the other layout.
    for (const bool shard : {false, true}) {
      DataParallelOptimizer resumed(parameters_of_test(device), config, communicator, shard);
      DataParallelOptimizer other(parameters_of_test(device), config, communicator, !shard);
      other.load_state(state);
      resumed.load_state(whole_state(other, communicator));
      DataParallelOptimizer straight(parameters_of_test(device), config, communicator, false);
      straight.load_state(state);
      train_step(resumed, communicator, 5, clip);
      train_step(straight, communicator, 5, clip);
      check_same_weights(straight, resumed, communicator, device);
    }
    check_non_finite(sharded, state, communicator);
  }
}

}  // namespace lococo::testing
