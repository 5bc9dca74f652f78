#include "lococo/step_plan.h"

#include <algorithm>

namespace lococo {

BlockStep next_step(const CacheConfig& config, int64_t begin, int64_t cached, int64_t length,
                    int64_t origin) {
  BlockStep step;
  step.begin = begin;
  step.end = begin + length;
  step.cached = cached;
  step.slots = config.slots;
  step.compress = config.compresses() && cached > config.slots + config.buffer;
  step.detach_keys = begin == 0 && !config.first_block_gradient;
  step.origin = config.frame_origin(begin);
  step.shift = step.origin - origin;
  return step;
}

std::vector<BlockStep> make_step_plan(const CacheConfig& config, int64_t context_length) {
  std::vector<BlockStep> plan;
  int64_t cached = 0, origin = 0;
  for (int64_t begin = 0; begin < context_length; begin += config.block) {
    const int64_t length = std::min(config.block, context_length - begin);
    plan.push_back(next_step(config, begin, cached, length, origin));
    cached = plan.back().attended();
    origin = plan.back().origin;
  }
  return plan;
}

std::vector<BlockStep> make_document_plan(const CacheConfig& config, int64_t begin, int64_t end) {
  auto plan = make_step_plan(config, end - begin);
  for (BlockStep& step : plan) {
    step.begin += begin;
    step.end += begin;
    step.document = begin;
  }
  return plan;
}

PlanExtent extent_of(const std::vector<BlockStep>& plan) {
  PlanExtent extent;
  for (const auto& step : plan) {
    extent.length = std::max(extent.length, step.length());
    extent.attended = std::max(extent.attended, step.attended());
  }
  return extent;
}

}  // namespace lococo
