#include "decode/row_runs.h"

namespace lococo {

std::vector<RowRun> equal_runs(int64_t rows, const std::function<bool(int64_t)>& wanted,
                               const std::function<bool(int64_t, int64_t)>& same) {
  std::vector<RowRun> runs;
  for (int64_t row = 0; row < rows; ++row) {
    if (!wanted(row)) continue;
    const bool goes_on = !runs.empty() && runs.back().first + runs.back().count == row &&
                         same(runs.back().first, row);
    if (goes_on) {
      ++runs.back().count;
    } else {
      runs.push_back({row, 1});
    }
  }
  return runs;
}

}  // namespace lococo
