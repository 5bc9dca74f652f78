// Which source serves which sequence: a fixed cycle of slots, so that any index is found in O(1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace lococo {

/// Slots of a cycle shared out by weight (largest remainder, at least one for each source) and
/// spread evenly.
class MixCycle {
 public:
  /// Weights must be positive and finite; there must be at least one.
  explicit MixCycle(const std::vector<double>& weights);

  struct Turn {
    int64_t source = 0;
    int64_t index = 0;  ///< how many sequences this source has served before
  };
  Turn turn(int64_t global_index) const;

  int64_t length() const { return static_cast<int64_t>(slots_.size()); }
  int64_t slots_of(int64_t source) const { return shares_[static_cast<size_t>(source)]; }

 private:
  std::vector<int64_t> shares_;  // slots of each source
  std::vector<Turn> slots_;      // index: within the cycle
};

}  // namespace lococo
