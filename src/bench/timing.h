// How long work takes: warm-up, several timed iterations, median and quartiles.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "bench/report.h"

namespace lococo {

/// Waits until the device has done all that was asked of it; nothing on a CPU.
void wait_for(torch::Device device);

/// Order statistics of `samples` (at least one); quartiles are interpolated between neighbours.
Spread spread_of(std::vector<double> samples);

/// `warmup` untimed and `repeat` timed calls: seconds of each timed one on the wall clock, the
/// device idle before and after.
std::vector<double> time_each(torch::Device device, int64_t warmup, int64_t repeat,
                              const std::function<void()>& body);

/// bench.warmup and bench.repeat of calls that are measured in flight.
struct Rounds {
  int64_t warmup = 1;  ///< calls; on a GPU at least three, in which libraries choose their kernels
  int64_t timed = 5;
};

/// Seconds of one call among many that are asked for without waiting in between, so that the time
/// of launching hides behind the GPU's work, by the GPU's own clock; one sample for each timed
/// round. On a CPU a round is one call.
std::vector<double> time_in_flight(torch::Device device, const std::function<void()>& body,
                                   const Rounds& rounds = {});

}  // namespace lococo
