#include "bench/timing.h"

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/cuda.h>

#include <algorithm>
#include <chrono>
#include <cmath>

namespace lococo {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double quantile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(place);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (place - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

/// Seconds of `calls` calls by the GPU's clock.
double time_on_gpu(torch::Device device, int64_t calls, const std::function<void()>& body) {
  const auto stream = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
  // The flag keeps the event's time, which torch's default drops.
  c10::Event begin(device.type(), c10::EventFlag::BACKEND_DEFAULT);
  c10::Event end(device.type(), c10::EventFlag::BACKEND_DEFAULT);
  begin.record(stream);
  for (int64_t i = 0; i < calls; ++i) body();
  end.record(stream);
  end.synchronize();
  return begin.elapsedTime(end) / 1e3;
}

}  // namespace

void wait_for(torch::Device device) {
  if (device.is_cuda()) torch::cuda::synchronize(device.index());
}

Spread spread_of(std::vector<double> samples) {
  TORCH_CHECK(!samples.empty(), "nothing was measured");
  std::sort(samples.begin(), samples.end());
  return {quantile(samples, 0.5),  samples.front(),         samples.back(),
          quantile(samples, 0.25), quantile(samples, 0.75), static_cast<int64_t>(samples.size())};
}

std::vector<double> time_each(torch::Device device, int64_t warmup, int64_t repeat,
                              const std::function<void()>& body) {
  for (int64_t i = 0; i < warmup; ++i) body();
  std::vector<double> seconds;
  for (int64_t i = 0; i < repeat; ++i) {
    wait_for(device);
    const double begin = now();
    body();
    wait_for(device);
    seconds.push_back(now() - begin);
  }
  return seconds;
}

std::vector<double> time_in_flight(torch::Device device, const std::function<void()>& body,
                                   const Rounds& rounds) {
  if (!device.is_cuda()) return time_each(device, rounds.warmup, rounds.timed, body);
  constexpr double kRoundSeconds = 0.03;
  constexpr double kMostCalls = 1000;
  const int64_t warmup = std::max<int64_t>(rounds.warmup, 3);
  for (int64_t i = 0; i < warmup; ++i) body();
  wait_for(device);
  const double once = time_on_gpu(device, 1, body);
  const auto calls = static_cast<int64_t>(
      std::clamp(std::ceil(kRoundSeconds / std::max(once, 1e-6)), 1.0, kMostCalls));
  std::vector<double> seconds;
  for (int64_t i = 0; i < rounds.timed; ++i)
    seconds.push_back(time_on_gpu(device, calls, body) / static_cast<double>(calls));
  return seconds;
}

}  // namespace lococo
