// What byte-level BPE looks up for every word: tables that are filled once and then only read.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace lococo {

/// A pair of neighbouring tokens that becomes one.
struct Merge {
  int32_t left = 0;
  int32_t right = 0;
  int32_t merged = 0;
};

/// Merges by their pair. Their rank is their place in the list; of two merges of one pair the later
/// one counts.
class MergeTable {
 public:
  static constexpr uint32_t kNoRank = UINT32_MAX;  ///< of a pair that stays two

  struct Entry {
    uint32_t rank = kNoRank;
    int32_t merged = -1;
  };

  explicit MergeTable(const std::vector<Merge>& merges);

  Entry find(int32_t left, int32_t right) const;

 private:
  struct Slot {
    uint64_t pair = 0;
    Entry entry;  ///< kNoRank: the slot is free
  };

  std::vector<Slot> slots_;  ///< a power of two, at most half of them filled
};

/// Ids by words. The words' bytes stay where they are and must outlive the table.
class WordTable {
 public:
  struct Word {
    std::string_view bytes;
    int32_t id = 0;
  };

  explicit WordTable(const std::vector<Word>& words);

  /// The id of a word of at least one byte; -1 when it has none.
  int32_t find(std::string_view bytes) const;

 private:
  std::vector<Word> slots_;  ///< as in MergeTable; without bytes: free
};

}  // namespace lococo
