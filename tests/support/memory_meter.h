// Counts the bytes of CPU tensors, as the allocator reports them to a profiler.
#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <cstdint>
#include <memory>
#include <unordered_map>

namespace lococo::testing {

/// Counts what this thread allocates and frees while the object lives.
class MemoryMeter {
 public:
  int64_t peak_bytes() const { return state_->peak; }
  int64_t live_bytes() const { return state_->live; }

 private:
  struct State : c10::MemoryReportingInfoBase {
    void reportMemoryUsage(void* pointer, int64_t change, size_t, size_t, c10::Device) override {
      if (change > 0) {
        sizes[pointer] = change;
      } else if (sizes.erase(pointer) == 0) {
        return;  // was allocated before
      }
      live += change;
      if (live > peak) peak = live;
    }
    bool memoryProfilingEnabled() const override { return true; }

    std::unordered_map<void*, int64_t> sizes;
    int64_t live = 0, peak = 0;
  };

  std::shared_ptr<State> state_ = std::make_shared<State>();
  c10::DebugInfoGuard guard_{c10::DebugInfoKind::PROFILER_STATE, state_};
};

}  // namespace lococo::testing
