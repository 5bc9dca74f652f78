#include "train/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace lococo {

double lr_factor(const TrainConfig& config, int64_t step) {
  const int64_t warmup = config.warmup_steps;
  if (step < warmup) return static_cast<double>(step) / static_cast<double>(warmup);
  if (config.decay == Decay::kConstant) return 1.0;
  const double decay_steps = static_cast<double>(std::max<int64_t>(1, config.steps - warmup));
  const double done = std::min(1.0, static_cast<double>(step - warmup) / decay_steps);
  const double floor = config.final_lr_fraction;
  const double left =
      config.decay == Decay::kLinear ? 1.0 - done : 0.5 * (1.0 + std::cos(std::numbers::pi * done));
  return floor + (1.0 - floor) * left;
}

}  // namespace lococo
