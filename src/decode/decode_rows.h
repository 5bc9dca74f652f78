// The caches of rows that are decoded together, where each row stands, and their compressions.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <vector>

#include "config/cache_config.h"
#include "decode/decode_cursor.h"
#include "decode/row_runs.h"
#include "lococo/cache_state.h"
#include "model/llama.h"
#include "pass/block_kinds.h"
#include "tensor/attention/decode_attention.h"
#include "tensor/kit/repeated_work.h"

namespace lococo {

/// Rows and their caches at one moment (DecodeRows::save).
struct RowsSnapshot {
  std::vector<RowState> rows;
  std::vector<CacheState> caches;  ///< copies of the slots in use; empty where those never change
  int64_t mark = 0;                ///< which snapshot it is, where nothing is copied
};

/// Static caches of all layers: what recorded work reads and writes stays where it is. Neighbouring
/// rows that have worked as one have a view of them together.
class DecodeRows {
 public:
  /// Neighbouring rows that have worked as one: the same memory, seen as caches of their own.
  struct RunWork {
    std::vector<CacheState> states;
    BlockKinds blocks;
    std::map<int64_t, RepeatedWork> compressions;  ///< by the size before
    torch::Tensor shift;  ///< of the frame, at a compression; undefined: slots are places
  };

  /// For B rows, with room for home_slots slots. `decode_buffer`: slots beyond cache.slots that
  /// decoding fills before it compresses. `record`: compressions of sizes that come again are
  /// recorded as CUDA graphs.
  DecodeRows(Llama model, int64_t B, int64_t home_slots, int64_t decode_buffer, bool record);

  /// Moves the caches, layer by layer, to memory of so many slots: recordings of old ones and
  /// first_slots() are worth nothing then.
  void grow(int64_t home_slots);

  /// Every row empty, at the beginning of its text.
  void reset();

  std::vector<RowState>& states() { return rows_; }
  const std::vector<RowState>& states() const { return rows_; }
  RowState& state(int64_t row) { return rows_[static_cast<size_t>(row)]; }
  RunWork& work_of(const RowRun& run);

  /// The first C slots of each layer.
  std::vector<DecodeCache> first_slots(int64_t C) const;
  int64_t bytes() const;  ///< of all layers, rows and their slots

  /// Compresses every row that holds more than `slots` slots down to cache.slots, and tells the
  /// cursor that it has moved. With policy none nothing happens.
  void compress_above(int64_t slots, DecodeCursor& cursor);

  /// The rows as they stand, and back to that. Caches that a policy compresses are copied. Where
  /// every token stays, slots in use never change and going back leaves out those that came later:
  /// that costs the same for any length, and a snapshot is good until reset() or a return to an
  /// earlier one, which gives its slots to others (checked).
  RowsSnapshot save();
  void restore(const RowsSnapshot& snapshot);

 private:
  void compress_run(const RowRun& run, DecodeCursor& cursor);
  void compress_layer(CacheState& state, size_t n, int64_t size, const torch::Tensor& shift) const;

  Llama model_;
  CacheConfig config_;
  int64_t decode_buffer_;
  bool record_;
  std::vector<CacheState> caches_;  ///< whose homes hold the caches
  std::vector<RowState> rows_;
  std::map<RowRun, RunWork> works_;
  std::vector<int64_t> marks_;  ///< of the good snapshots that copied nothing, oldest first
  int64_t last_mark_ = 0;
};

}  // namespace lococo
