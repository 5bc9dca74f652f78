// Which records share a row.
#pragma once

#include <cstdint>
#include <vector>

namespace lococo {

/// Rows of items, by their indices, of at most `room` tokens each. Every item begins at a multiple
/// of `step` in its row, the first at 0. The longest come first, each into the first row that has
/// room for it. Items are not longer than `room`.
std::vector<std::vector<int64_t>> pack_rows(const std::vector<int64_t>& lengths, int64_t room,
                                            int64_t step);

/// The next multiple of `step`.
int64_t rounded_up(int64_t tokens, int64_t step);

}  // namespace lococo
