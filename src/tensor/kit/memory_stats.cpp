#include "tensor/kit/memory_stats.h"

#include <c10/core/CachingDeviceAllocator.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "tensor/kit/cuda_graph.h"

namespace lococo {
namespace {

// As printed by the kernel: "VmHWM:     12345 kB".
int64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    int64_t kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib * 1024;
  }
  return 0;
}

}  // namespace

int64_t peak_memory_bytes(c10::Device device) {
  if (device.is_cpu()) return peak_resident_bytes();
  const auto stats = at::getDeviceAllocator(device.type())->getDeviceStats(device.index());
  constexpr auto kAggregate = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
  const auto& allocated = stats.allocated_bytes[kAggregate];
  const auto graphs = CapturedGraph::memory();
  return std::max<int64_t>({allocated.peak, graphs.peak, allocated.current + graphs.working});
}

int64_t total_memory_bytes(c10::Device device) {
  if (!device.is_cpu()) {
    const auto index = device.has_index() ? device.index() : c10::DeviceIndex{0};
    return static_cast<int64_t>(at::getDeviceAllocator(device.type())->getMemoryInfo(index).second);
  }
  struct sysinfo memory {};
  if (::sysinfo(&memory) != 0) return 0;
  return static_cast<int64_t>(memory.totalram + memory.totalswap) *
         static_cast<int64_t>(memory.mem_unit);
}

void reset_peak(c10::Device device) {
  if (device.is_cpu()) {
    std::ofstream("/proc/self/clear_refs") << "5";  // see proc(5): resets VmHWM
    return;
  }
  CapturedGraph::reset_memory();
  at::getDeviceAllocator(device.type())->resetPeakStats(device.index());
}

}  // namespace lococo
