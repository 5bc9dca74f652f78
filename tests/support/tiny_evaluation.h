// An evaluation small enough for unit tests: a tiny model on documents of a few tokens.
#pragma once

#include <cstdint>
#include <vector>

#include "config/config.h"
#include "dist/communicator.h"
#include "eval/evaluation_report.h"
#include "eval/evaluator.h"
#include "model/llama.h"

namespace lococo::testing {

using TokenDocuments = std::vector<std::vector<int32_t>>;

/// A document whose only segment has nine targets: a far repeat (far = 3), two near ones, six new.
inline const std::vector<int32_t> kNineTargets = {1, 2, 3, 1, 2, 3, 9, 5, 1, 2};

/// tiny_cache(), these lengths, far = 3, on one rank.
Config evaluation_config(std::vector<int64_t> lengths);

/// What Evaluator finds on documents that are written to a file for it.
std::vector<LengthResult> evaluate(const Config& config, const TokenDocuments& documents,
                                   Llama model, Communicator& communicator);
std::vector<LengthResult> evaluate(const Config& config, const TokenDocuments& documents,
                                   Llama model);

/// The mean NLL of all targets.
PooledMean pool_all(const std::vector<SegmentScore>& segments);

}  // namespace lococo::testing
