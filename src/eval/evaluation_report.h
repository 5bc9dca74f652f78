// What an evaluation found, for people and as JSON.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"
#include "eval/evaluator.h"

namespace lococo {

/// Mean of a kind over all targets of all segments (pooled) and its standard error (segments as
/// clusters); NaN without targets.
struct PooledMean {
  double mean = 0;
  double standard_error = 0;
  int64_t targets = 0;
};
PooledMean pool(const std::vector<SegmentScore>& segments, double SegmentScore::*sum,
                int64_t SegmentScore::*count);

/// A table for people; with parts of a segment a second one, of their NLL.
std::string results_table(const std::vector<LengthResult>& results);

/// {"results": [{"length", "segments", "nll", "nll_se", "far_nll", ...}], "policy", ...};
/// "nll_by_position": [{"begin", "end", "nll"}] and per-segment values if config.eval asks.
std::string results_json(const Config& config, const std::vector<LengthResult>& results);

}  // namespace lococo
