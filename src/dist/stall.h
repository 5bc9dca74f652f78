// Which rank the others wait for in vain, by what all have last reported.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "dist/rank_report.h"

namespace lococo {

/// A rank as this one knows it.
struct KnownRank {
  RankReport last;      ///< what it reported last
  bool heard = false;   ///< it has reported at all
  double silent_s = 0;  ///< since then, or since the start
};

/// Whether `self` has waited for `timeout_s` seconds for ranks of which one does not come: nothing
/// was heard of it for so long, or it lives but has worked for so long without any progress. Who
/// waits for another rank itself is not to blame, but the one it waits for; if all wait for each
/// other for so long, nobody comes either. The sentence says where the wait is and who is missing;
/// nullopt: go on waiting. `ranks`: all, by rank.
std::optional<std::string> describe_stall(int self, const std::vector<KnownRank>& ranks,
                                          double timeout_s);

/// Of those that wait in vain by now and live, the first: it speaks for all. `recent_s`: who was
/// heard of within it lives.
int spokesman_of(const std::vector<KnownRank>& ranks, double timeout_s, double recent_s);

}  // namespace lococo
