#include "records/packing.h"

#include <algorithm>
#include <numeric>

namespace lococo {

int64_t rounded_up(int64_t tokens, int64_t step) { return (tokens + step - 1) / step * step; }

std::vector<std::vector<int64_t>> pack_rows(const std::vector<int64_t>& lengths, int64_t room,
                                            int64_t step) {
  std::vector<int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  const auto length_of = [&](int64_t item) { return lengths[static_cast<size_t>(item)]; };
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return length_of(a) > length_of(b); });
  std::vector<std::vector<int64_t>> rows;
  std::vector<int64_t> begins;  // where the next item of each row would begin
  for (const int64_t item : order) {
    size_t row = 0;
    while (row < rows.size() && begins[row] + length_of(item) > room) ++row;
    if (row == rows.size()) {
      rows.emplace_back();
      begins.push_back(0);
    }
    rows[row].push_back(item);
    begins[row] = rounded_up(begins[row] + length_of(item), step);
  }
  return rows;
}

}  // namespace lococo
