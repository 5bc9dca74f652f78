// Where the next token of each row goes, and its angles: device memory that recorded steps read.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "config/cache_config.h"
#include "decode/row_runs.h"
#include "model/rope.h"
#include "tensor/attention/decode_attention.h"

namespace lococo {

class DecodeCursor {
 public:
  /// For B rows and caches of C slots.
  /// `frame`: the table of all places with positions text, else empty.
  DecodeCursor(const ModelShape& shape, const CacheConfig& config, int64_t B, int64_t C,
               torch::Device device, const RopeTable& frame = {});

  /// Row `row` stands elsewhere than after advance().
  void moved(int64_t row) { moved_[static_cast<size_t>(row)] = true; }
  void all_moved() { moved_.assign(moved_.size(), true); }

  /// To be called before a step: writes the places of the rows that have moved, and the angles of
  /// all tokens that come before their next compression.
  void set(const std::vector<RowState>& rows);

  /// One token further in every row; on the device alone, so that it can be recorded.
  void advance() { position_.cursor_B2.add_(1); }

  const DecodePosition& position() const { return position_; }

 private:
  void set_angles(size_t row, const RowState& state);
  void fill(int64_t table, int64_t row, int64_t begin, int64_t count);

  Rope rope_;
  bool dynamic_, keeps_all_, text_places_;
  int64_t capacity_;
  torch::Device device_;
  DecodePosition position_;
  std::vector<int64_t> table_begin_;  ///< rotated keys: position of the first angles of a row
  std::vector<bool> moved_;
};

}  // namespace lococo
