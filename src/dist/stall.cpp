#include "dist/stall.h"

#include <algorithm>

#include "core/formatted.h"

namespace lococo {
namespace {

std::string seconds_text(double seconds) {
  return formatted(seconds < 10 ? "%.1f s" : "%.0f s", seconds);
}

/// "step 7, in a barrier (checkpoint)", "at work (tokenising)".
std::string place_text(const Activity& activity) {
  std::string text = activity.step < 0 ? "" : "step " + std::to_string(activity.step) + ", ";
  if (activity.waits) return text + "in " + activity.what;
  return text + "at work" + (activity.what.empty() ? "" : " (" + activity.what + ")");
}

double seconds_at_it(const KnownRank& known) { return known.last.seconds + known.silent_s; }

/// The ranks that `self` waits for, directly or through others that wait. Not `self`.
std::vector<int> awaited_by(int self, const std::vector<KnownRank>& ranks) {
  std::vector<bool> seen(ranks.size(), false);
  seen[static_cast<size_t>(self)] = true;
  std::vector<int> found = {self};
  for (size_t i = 0; i < found.size(); ++i) {
    const Activity& activity = ranks[static_cast<size_t>(found[i])].last.activity;
    if (!activity.waits) continue;
    for (const int rank : activity.awaited) {
      if (seen[static_cast<size_t>(rank)]) continue;
      seen[static_cast<size_t>(rank)] = true;
      found.push_back(rank);
    }
  }
  found.erase(found.begin());
  std::sort(found.begin(), found.end());
  return found;
}

std::string silent_text(int rank, const KnownRank& known) {
  const std::string name = "rank " + std::to_string(rank);
  if (!known.heard)
    return name + ", of which nothing was ever heard (do hosts let UDP of each other pass?)";
  return name + ", of which nothing was heard for " + seconds_text(known.silent_s) +
         " (last: " + place_text(known.last.activity) + ")";
}

std::string working_text(int rank, const KnownRank& known) {
  return "rank " + std::to_string(rank) + ", which lives but has not come on for " +
         seconds_text(seconds_at_it(known)) + " (" + place_text(known.last.activity) + ")";
}

std::string joined(const std::vector<std::string>& texts) {
  std::string all;
  for (const std::string& text : texts) all += (all.empty() ? "" : "; ") + text;
  return all;
}

}  // namespace

std::optional<std::string> describe_stall(int self, const std::vector<KnownRank>& ranks,
                                          double timeout_s) {
  const RankReport& own = ranks[static_cast<size_t>(self)].last;
  if (!own.activity.waits || own.seconds < timeout_s) return std::nullopt;
  std::vector<std::string> silent, working, waiting;
  bool some_may_come = false;
  for (const int rank : awaited_by(self, ranks)) {
    const KnownRank& known = ranks[static_cast<size_t>(rank)];
    if (known.silent_s >= timeout_s) {
      silent.push_back(silent_text(rank, known));
    } else if (seconds_at_it(known) < timeout_s) {
      some_may_come = true;
    } else if (known.last.activity.waits) {
      waiting.push_back("rank " + std::to_string(rank) + " (" + place_text(known.last.activity) +
                        ")");
    } else {
      working.push_back(working_text(rank, known));
    }
  }
  const std::string begin =
      own.activity.what + " has waited " + seconds_text(own.seconds) + " for ";
  // A rank that is not heard of explains why others do not come on, and not the other way round.
  if (!silent.empty()) return begin + joined(silent);
  if (!working.empty()) return begin + joined(working);
  if (some_may_come || waiting.empty()) return std::nullopt;
  return begin + "ranks that wait themselves: " + joined(waiting);
}

int spokesman_of(const std::vector<KnownRank>& ranks, double timeout_s, double recent_s) {
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const KnownRank& known = ranks[rank];
    if (known.silent_s <= recent_s && known.last.activity.waits &&
        seconds_at_it(known) >= timeout_s) {
      return static_cast<int>(rank);
    }
  }
  return -1;
}

}  // namespace lococo
