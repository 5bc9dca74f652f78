#include "bench/training_setup.h"

#include <c10/core/CachingDeviceAllocator.h>

#include <algorithm>

#include "bench/timing.h"
#include "core/error.h"
#include "core/units.h"
#include "tensor/kit/memory_stats.h"

namespace lococo {

TrainingSetup::TrainingSetup(const Config& config, torch::Device device)
    : device_(device),
      prepared_(prepare_model(config, device)),
      optimizer_(prepared_.registry->trainable(), config.train, *alone_, /*shard=*/false) {
  if (optimizer_.parameters().empty())
    throw UserError("tune: nothing is trained; give at least one group a learning rate");
}

bool TrainingSetup::trains(ParameterGroup group) const {
  const auto& trained = optimizer_.parameters();
  return std::any_of(trained.begin(), trained.end(), [&](const RegisteredParameter& parameter) {
    return parameter.group == group;
  });
}

torch::Tensor TrainingSetup::random_tokens(int64_t B, int64_t T) const {
  return torch::randint(prepared_.model->shape().vocab_size, {B, T + 1},
                        torch::dtype(torch::kInt64).device(device_));
}

void TrainingSetup::reset_peak() const {
  wait_for(device_);
  lococo::reset_peak(device_);
}

void TrainingSetup::add_peak(BenchCase* measured) const {
  wait_for(device_);
  const auto peak = static_cast<double>(peak_memory_bytes(device_));
  double state = 0;  // two moments a weight
  for (const RegisteredParameter& parameter : optimizer_.parameters())
    state += 2 * static_cast<double>(parameter.tensor.nbytes());
  measured->add("peak memory", "GiB", peak / kGiB);
  measured->add("peak memory without optimizer state", "GiB", (peak - state) / kGiB);
}

std::string TrainingSetup::or_out_of_memory(const std::function<void()>& body) const {
  std::string failure;
  try {
    body();
  } catch (const c10::OutOfMemoryError&) {
    failure = "out of memory";
  }
  release_memory();
  return failure;
}

void TrainingSetup::release_memory() const {
  if (device_.is_cuda()) at::getDeviceAllocator(device_.type())->emptyCache();
}

}  // namespace lococo
