// One iteration under LibTorch's profiler.
#pragma once

#include <torch/types.h>

#include <functional>
#include <string>

#include "bench/report.h"

namespace lococo {

/// Runs `body` once untraced and once traced, writes the Chrome trace to `path` and returns the
/// kernels' total times, summed from the trace's events. `what` says what it is a trace of. Throws
/// UserError when `path` cannot be written.
TraceSummary record_trace(torch::Device device, const std::string& path, const std::string& what,
                          const std::function<void()>& body);

}  // namespace lococo
