// What a rank tells the others of itself, and how that is written.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "dist/activity.h"

namespace lococo {

struct RankReport {
  int rank = 0;
  Activity activity;
  double seconds = 0;  ///< for which it has been at that, without any progress
  bool ends = false;   ///< it has said why all ranks end, and ends itself
};

/// One datagram. `run`: a number that ranks of other runs do not have; `size`: number of ranks.
std::string encode(const RankReport& report, uint64_t run, int size);

/// nullopt for what is no report of this run.
std::optional<RankReport> decode(const std::string& datagram, uint64_t run, int size);

}  // namespace lococo
