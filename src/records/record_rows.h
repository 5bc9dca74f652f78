// The rows that supervised fine-tuning trains on: one record each, or several.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "chat/transcript.h"
#include "records/record_set.h"

namespace lococo {

struct RecordRow {
  std::vector<int64_t> tokens;       ///< T + 1
  std::vector<uint8_t> kinds;        ///< T: TargetKind of tokens[1..]
  std::vector<TokenSpan> documents;  ///< of the T inputs; empty: all are one record's
};

struct RecordRowOptions {
  uint64_t seed = 1;
  int64_t context_length = 4096;  ///< most inputs of a row
  bool packing = false;
  bool group_by_length = false;
  int64_t group = 1;  ///< rows of a micro-batch
  /// Records of a row begin at multiples of it, and a row with several ends at one, if it has room.
  int64_t step = 1;
  int64_t filler = 0;  ///< token between records and behind them
  /// What the tokens of prompts are: they count as text with this distance of far repeats
  /// (lessons/text_kinds.h has the same), or are ignored (0).
  int64_t far = 0;
};

/// Row `index` of the run: a pure function of seed and index. Files take turns by their weights,
/// and each is read in an order of its own every epoch.
///
/// Packing takes 512 records at a time, puts them into as few rows as first-fit does and shuffles
/// these. Grouping takes 64 micro-batches at a time, sorts their records by length, and shuffles
/// the micro-batches.
class RecordRows {
 public:
  /// `weights`: of each set, positive.
  RecordRows(std::vector<RecordSet> sets, const std::vector<double>& weights,
             const RecordRowOptions& options);
  ~RecordRows();
  RecordRows(RecordRows&&) noexcept;
  RecordRows& operator=(RecordRows&&) noexcept;

  /// May be called from several threads.
  RecordRow row(int64_t index) const;
  std::string place(int64_t index) const;  ///< of its first record

  std::vector<uint64_t> fingerprints() const;  ///< of each set
  RecordCounts counts() const;                 ///< of all sets

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lococo
