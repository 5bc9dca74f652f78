#include "train/optimizer.h"

#include <torch/optim/adamw.h>

#include <cmath>

#ifdef LOCOCO_WITH_CUDA
#include <c10/cuda/CUDAFunctions.h>
#endif

#include "core/error.h"
#include "tensor/kit/memory_stats.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/train/made_parameter.h"

namespace lococo {
namespace {

using testing::parameter;

constexpr double kDecay = 0.1;

TrainConfig config_of_test() {
  TrainConfig config;
  config.beta1 = 0.9;
  config.beta2 = 0.95;
  config.epsilon = 1e-6;
  return config;
}

// Two learning rates and two decays, so that several fused calls are needed.
std::vector<RegisteredParameter> parameters_of_test(uint64_t seed = 1) {
  torch::manual_seed(seed);
  return {parameter("conv.weight", {6, 5}, 1e-2, kDecay), parameter("norm.weight", {7}, 1e-2, 0.0),
          parameter("lora.weight", {4, 3, 2}, 3e-3, kDecay), parameter("mix", {}, 3e-3, kDecay)};
}

std::vector<RegisteredParameter> copies_of(const std::vector<RegisteredParameter>& parameters) {
  std::vector<RegisteredParameter> copies = parameters;
  for (RegisteredParameter& copy : copies) {
    copy.tensor = copy.tensor.detach().clone().set_requires_grad(true);
  }
  return copies;
}

// The same gradients for every optimizer that is at `step`.
void set_gradients(const std::vector<RegisteredParameter>& parameters, int step) {
  torch::manual_seed(1000 + step);
  for (const RegisteredParameter& parameter : parameters) {
    torch::Tensor(parameter.tensor).mutable_grad() = torch::randn_like(parameter.tensor.detach());
  }
}

double factor_of(int step) { return 1.0 - 0.05 * step; }

double largest_difference(const std::vector<RegisteredParameter>& a,
                          const std::vector<RegisteredParameter>& b) {
  double largest = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = (a[i].tensor - b[i].tensor).abs().max().item<double>();
    largest = std::max(largest, difference);
  }
  return largest;
}

bool same_bits(const std::vector<RegisteredParameter>& a,
               const std::vector<RegisteredParameter>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (!torch::equal(a[i].tensor, b[i].tensor)) return false;
  }
  return true;
}

// One number's whole history in double.
double adamw_by_hand(double weight, const std::vector<double>& gradients,
                     const RegisteredParameter& parameter, const TrainConfig& config) {
  double m = 0.0, v = 0.0;
  for (size_t i = 0; i < gradients.size(); ++i) {
    const double lr = parameter.learning_rate * factor_of(static_cast<int>(i));
    const double t = static_cast<double>(i + 1);
    m = config.beta1 * m + (1 - config.beta1) * gradients[i];
    v = config.beta2 * v + (1 - config.beta2) * gradients[i] * gradients[i];
    weight -= lr * parameter.weight_decay * weight;
    weight -= lr * (m / (1 - std::pow(config.beta1, t))) /
              (std::sqrt(v / (1 - std::pow(config.beta2, t))) + config.epsilon);
  }
  return weight;
}

}  // namespace

TEST_CASE("AdamW's fused and reference updates follow the paper's formula", "[train][optimizer]") {
  const AdamWPath path = GENERATE(AdamWPath::kFused, AdamWPath::kReference);
  const TrainConfig config = config_of_test();
  const std::vector<RegisteredParameter> start = parameters_of_test();
  AdamW optimizer(copies_of(start), config, path);
  std::vector<std::vector<std::vector<double>>> gradients(start.size());
  for (int step = 0; step < 8; ++step) {
    set_gradients(optimizer.parameters(), step);
    for (size_t i = 0; i < start.size(); ++i) {
      const torch::Tensor flat = optimizer.parameters()[i].tensor.grad().flatten();
      gradients[i].resize(flat.numel());
      for (int64_t j = 0; j < flat.numel(); ++j) {
        gradients[i][j].push_back(flat[j].item<double>());
      }
    }
    optimizer.step(factor_of(step));
  }
  for (size_t i = 0; i < start.size(); ++i) {
    const torch::Tensor before = start[i].tensor.detach().flatten();
    const torch::Tensor after = optimizer.parameters()[i].tensor.detach().flatten();
    for (int64_t j = 0; j < before.numel(); ++j) {
      const double expected =
          adamw_by_hand(before[j].item<double>(), gradients[i][j], start[i], config);
      INFO(start[i].name << " element " << j);
      CHECK(after[j].item<double>() == Approx(expected).margin(2e-6));
    }
  }
}

TEST_CASE("AdamW updates as LibTorch's own AdamW does", "[train][optimizer]") {
  const TrainConfig config = config_of_test();
  const std::vector<RegisteredParameter> start = parameters_of_test();
  AdamW fused(copies_of(start), config);
  AdamW reference(copies_of(start), config, AdamWPath::kReference);
  const std::vector<RegisteredParameter> theirs = copies_of(start);
  std::vector<torch::optim::OptimizerParamGroup> groups;
  for (const RegisteredParameter& one : theirs) {
    groups.emplace_back(std::vector<torch::Tensor>{one.tensor},
                        std::make_unique<torch::optim::AdamWOptions>(one.learning_rate));
    static_cast<torch::optim::AdamWOptions&>(groups.back().options())
        .betas({config.beta1, config.beta2})
        .eps(config.epsilon)
        .weight_decay(one.weight_decay);
  }
  torch::optim::AdamW torch_adamw(groups);
  for (int step = 0; step < 10; ++step) {
    set_gradients(fused.parameters(), step);
    set_gradients(reference.parameters(), step);
    set_gradients(theirs, step);
    fused.step(1.0);
    reference.step(1.0);
    torch_adamw.step();
  }
  CHECK(largest_difference(fused.parameters(), start) > 1e-3);
  CHECK(largest_difference(fused.parameters(), theirs) < 1e-6);
  CHECK(largest_difference(reference.parameters(), theirs) < 1e-6);
}

TEST_CASE("AdamW leaves a parameter without a gradient alone and counts its steps apart",
          "[train][optimizer]") {
  const AdamWPath path = GENERATE(AdamWPath::kFused, AdamWPath::kReference);
  const TrainConfig config = config_of_test();
  const std::vector<RegisteredParameter> start = parameters_of_test();
  AdamW optimizer(copies_of(start), config, path);
  AdamW late(copies_of(start), config, path);  // sees only the last gradient
  const torch::Tensor skipped = optimizer.parameters()[0].tensor;
  for (int step = 0; step < 3; ++step) {
    set_gradients(optimizer.parameters(), step);
    torch::Tensor(skipped).mutable_grad().reset();
    optimizer.step(1.0);
  }
  CHECK(torch::equal(skipped, start[0].tensor));
  CHECK(optimizer.state().at("conv.weight.step").item<float>() == 0.0f);
  CHECK(optimizer.state().at("conv.weight.m").abs().max().item<float>() == 0.0f);
  CHECK(optimizer.state().at("norm.weight.step").item<float>() == 3.0f);

  set_gradients(optimizer.parameters(), 3);
  set_gradients(late.parameters(), 3);
  optimizer.step(1.0);
  late.step(1.0);
  CHECK(torch::equal(skipped, late.parameters()[0].tensor));
  CHECK(optimizer.state().at("conv.weight.step").item<float>() == 1.0f);
}

TEST_CASE("AdamW goes on from a loaded state bit for bit", "[train][optimizer]") {
  const TrainConfig config = config_of_test();
  AdamW whole(parameters_of_test(), config);
  AdamW first_half(parameters_of_test(), config);
  for (int step = 0; step < 6; ++step) {
    set_gradients(whole.parameters(), step);
    whole.step(factor_of(step));
  }
  for (int step = 0; step < 3; ++step) {
    set_gradients(first_half.parameters(), step);
    first_half.step(factor_of(step));
  }
  AdamW second_half(copies_of(first_half.parameters()), config);
  second_half.load_state(first_half.state());
  for (int step = 3; step < 6; ++step) {
    set_gradients(second_half.parameters(), step);
    second_half.step(factor_of(step));
  }
  CHECK(same_bits(second_half.parameters(), whole.parameters()));
  CHECK_FALSE(same_bits(first_half.parameters(), whole.parameters()));
}

TEST_CASE("AdamW refuses a state that does not fit and then changes nothing",
          "[train][optimizer]") {
  AdamW optimizer(parameters_of_test(), config_of_test());
  std::map<std::string, torch::Tensor> state;
  for (const auto& [name, tensor] : optimizer.state()) state[name] = torch::ones_like(tensor);
  REQUIRE(state.size() == 12);

  SECTION("missing") { state.erase("mix.v"); }
  SECTION("unknown") { state["embed.m"] = torch::zeros({2}); }
  SECTION("another shape") { state["norm.weight.m"] = torch::zeros({8}); }
  SECTION("another type") { state["norm.weight.m"] = torch::zeros({7}, torch::kFloat64); }

  CHECK_THROWS_AS(optimizer.load_state(state), UserError);
  for (const auto& [name, tensor] : optimizer.state()) {
    INFO(name);
    CHECK(tensor.abs().max().item<float>() == 0.0f);
  }
}

TEST_CASE("AdamW reads a gradient whose memory is not in the parameter's order",
          "[train][optimizer]") {
  const std::vector<RegisteredParameter> start = parameters_of_test();
  AdamW plain(copies_of(start), config_of_test());
  AdamW strided(copies_of(start), config_of_test());
  torch::manual_seed(3);
  const torch::Tensor gradient = torch::randn({5, 6}).t();
  torch::Tensor(plain.parameters()[0].tensor).mutable_grad() = gradient.contiguous();
  torch::Tensor(strided.parameters()[0].tensor).mutable_grad() = gradient;
  plain.step(1.0);
  strided.step(1.0);
  CHECK(same_bits(plain.parameters(), strided.parameters()));
}

#ifdef LOCOCO_WITH_CUDA
TEST_CASE("On a GPU the optimizer does what it does on a CPU, without waiting for the GPU",
          "[train][optimizer][gpu]") {
  if (!torch::cuda::is_available()) SKIP("no GPU");
  const std::vector<RegisteredParameter> start = parameters_of_test();
  AdamW on_cpu(copies_of(start), config_of_test());
  std::vector<RegisteredParameter> moved = copies_of(start);
  for (RegisteredParameter& one : moved) {
    one.tensor = one.tensor.detach().to(torch::kCUDA).set_requires_grad(true);
  }
  const torch::Device device = moved[0].tensor.device();
  AdamW on_gpu(moved, config_of_test());
  reset_peak(device);
  for (int step = 0; step < 8; ++step) {
    set_gradients(on_cpu.parameters(), step);
    for (size_t i = 0; i < moved.size(); ++i) {
      moved[i].tensor.mutable_grad() = on_cpu.parameters()[i].tensor.grad().to(device);
    }
    on_cpu.step(factor_of(step));
    c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_ERROR);
    on_gpu.step(factor_of(step));
    c10::cuda::warning_state().set_sync_debug_mode(c10::cuda::SyncDebugMode::L_DISABLED);
  }
  for (size_t i = 0; i < moved.size(); ++i) {
    CHECK(torch::allclose(moved[i].tensor.cpu(), on_cpu.parameters()[i].tensor, 1e-5, 1e-6));
  }
  AdamW resumed(moved, config_of_test());
  resumed.load_state(on_cpu.state());  // a checkpoint's tensors are on the CPU
  CHECK(resumed.state().at("mix.step").device() == device);
  CHECK(resumed.state().at("mix.step").item<float>() == 8.0f);
  CHECK(peak_memory_bytes(device) > 0);
}
#endif

}  // namespace lococo
