#include "bench/trace.h"

#include <torch/csrc/autograd/profiler_kineto.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "bench/timing.h"
#include "core/error.h"
#include "core/files.h"

namespace lococo {
namespace {

namespace profiler = torch::autograd::profiler;
using torch::profiler::impl::ActivityType;
using torch::profiler::impl::ProfilerConfig;
using torch::profiler::impl::ProfilerState;

std::vector<KernelTime> kernels_by_time(const profiler::ProfilerResult& result,
                                        c10::DeviceType device) {
  std::map<std::string, KernelTime> by_name;
  for (const profiler::KinetoEvent& event : result.events()) {
    if (event.deviceType() != device || event.isHiddenEvent()) continue;
    KernelTime& kernel = by_name[event.name()];
    ++kernel.calls;
    kernel.seconds += static_cast<double>(event.durationNs()) / 1e9;
  }
  std::vector<KernelTime> kernels;
  for (auto& [name, kernel] : by_name) {
    kernel.name = name;
    kernels.push_back(kernel);
  }
  std::stable_sort(kernels.begin(), kernels.end(),
                   [](const KernelTime& a, const KernelTime& b) { return a.seconds > b.seconds; });
  return kernels;
}

/// The profiler says nothing when it cannot write: under a name of its own no older trace passes
/// for this one.
void save_trace(profiler::ProfilerResult& result, const std::string& path) {
  namespace fs = std::filesystem;
  const std::string temporary = temporary_name(path);
  std::error_code error;
  fs::remove(temporary, error);
  result.save(temporary);
  fs::rename(temporary, path, error);
  if (error) throw UserError("bench.trace: " + path + ": cannot write: " + error.message());
}

}  // namespace

TraceSummary record_trace(torch::Device device, const std::string& path, const std::string& what,
                          const std::function<void()>& body) {
  std::set<ActivityType> activities = {ActivityType::CPU};
  if (device.is_cuda()) activities.insert(ActivityType::CUDA);
  const ProfilerConfig config(ProfilerState::KINETO);
  body();
  wait_for(device);
  profiler::prepareProfiler(config, activities);
  profiler::enableProfiler(config, activities,
                           {at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION});
  TraceSummary summary;
  summary.wall_seconds = time_each(device, /*warmup=*/0, /*repeat=*/1, body).front();
  const auto result = profiler::disableProfiler();
  save_trace(*result, path);

  summary.what = what;
  summary.path = path;
  summary.on_gpu = device.is_cuda();
  summary.kernels = kernels_by_time(*result, device.type());
  for (const KernelTime& kernel : summary.kernels) summary.busy_seconds += kernel.seconds;
  return summary;
}

}  // namespace lococo
