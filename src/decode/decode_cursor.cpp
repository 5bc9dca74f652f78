#include "decode/decode_cursor.h"

#include <algorithm>

namespace lococo {

DecodeCursor::DecodeCursor(const ModelShape& shape, const CacheConfig& config, int64_t B, int64_t C,
                           torch::Device device, const RopeTable& frame)
    : rope_(shape),
      dynamic_(shape.rope_scaling.type == RopeType::kDynamic),
      keeps_all_(!config.compresses()),
      text_places_(frame.cos_LD.defined()),
      capacity_(C),
      device_(device),
      table_begin_(static_cast<size_t>(B), 0),
      moved_(static_cast<size_t>(B), true) {
  torch::NoGradGuard no_grad;
  const auto floats = torch::dtype(torch::kFloat32).device(device);
  position_.rotate_cache = !config.caches_rotated();
  // Slots have angles of their own, which never change; without compressions so have positions.
  const int64_t tables = position_.rotate_cache || keeps_all_ ? 1 : B;
  position_.cursor_B2 = torch::zeros({B, 2}, floats.dtype(torch::kInt32));
  if (text_places_) {
    position_.cos_RXD = frame.cos_LD.unsqueeze(0);
    position_.sin_RXD = frame.sin_LD.unsqueeze(0);
    return;
  }
  position_.cos_RXD = torch::zeros({tables, C, shape.head_dim}, floats);
  position_.sin_RXD = torch::zeros({tables, C, shape.head_dim}, floats);
  if (position_.rotate_cache) fill(/*table=*/0, /*row=*/0, /*begin=*/0, C);
}

void DecodeCursor::set(const std::vector<RowState>& rows) {
  if (std::none_of(moved_.begin(), moved_.end(), [](bool moved) { return moved; })) return;
  torch::NoGradGuard no_grad;
  auto cursor_B2 = torch::zeros({static_cast<int64_t>(rows.size()), 2}, torch::kInt32);
  auto cursor = cursor_B2.accessor<int, 2>();
  for (size_t row = 0; row < rows.size(); ++row) {
    const RowState& state = rows[row];
    if (moved_[row] && !position_.rotate_cache) set_angles(row, state);
    const auto i = static_cast<int64_t>(row);
    cursor[i][0] = static_cast<int>(state.size);
    const int64_t by_slot =
        position_.rotate_cache ? state.size : state.position - table_begin_[row];
    cursor[i][1] = static_cast<int>(text_places_ ? state.position - state.origin : by_slot);
  }
  position_.cursor_B2.copy_(cursor_B2);
  moved_.assign(moved_.size(), false);
}

/// Where nothing is ever compressed all rows share a table, and a position's angles are in the row
/// of its number.
void DecodeCursor::set_angles(size_t row, const RowState& state) {
  table_begin_[row] = keeps_all_ ? 0 : state.position;
  fill(keeps_all_ ? 0 : static_cast<int64_t>(row), state.position - table_begin_[row],
       state.position, capacity_ - state.size);
}

/// Rows row .. row + count - 1 of a table: positions from `begin` on.
void DecodeCursor::fill(int64_t table, int64_t row, int64_t begin, int64_t count) {
  const auto copy = [&](int64_t to, const RopeTable& angles) {
    const int64_t n = angles.cos_LD.size(0);
    position_.cos_RXD[table].narrow(/*dim=*/0, to, n).copy_(angles.cos_LD);
    position_.sin_RXD[table].narrow(/*dim=*/0, to, n).copy_(angles.sin_LD);
  };
  if (count == 0) return;
  if (position_.rotate_cache || !dynamic_) {
    copy(row, rope_.table(begin, begin + count, device_));
    return;
  }
  // Dynamic scaling depends on the length so far: every position has angles of its own.
  for (int64_t i = 0; i < count; ++i) copy(row + i, rope_.table(begin + i, begin + i + 1, device_));
}

}  // namespace lococo
