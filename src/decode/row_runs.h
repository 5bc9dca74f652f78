// Rows of a batch that are in one state and lie side by side work as one.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace lococo {

/// Rows [first, first + count) of a batch.
struct RowRun {
  int64_t first = 0;
  int64_t count = 0;

  auto operator<=>(const RowRun&) const = default;
};

/// Where a row of a batch of caches stands.
struct RowState {
  int64_t size = 0;      ///< slots in use
  int64_t position = 0;  ///< tokens seen
  int64_t origin = 0;    ///< place in the text that is 0 to RoPE (CacheConfig::frame_origin)

  bool operator==(const RowState&) const = default;
};

/// The longest runs of neighbouring rows that `same` calls alike, of those that `wanted` wants.
std::vector<RowRun> equal_runs(int64_t rows, const std::function<bool(int64_t)>& wanted,
                               const std::function<bool(int64_t, int64_t)>& same);

}  // namespace lococo
