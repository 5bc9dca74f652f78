// The machine that a benchmark ran on.
#pragma once

#include <torch/types.h>

#include "bench/report.h"

namespace lococo {

/// Names and versions of `device` and the libraries in use.
DeviceInfo describe_device(torch::Device device, int64_t threads);

}  // namespace lococo
