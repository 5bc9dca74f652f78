#include "tokenizer/bpe_tables.h"

#include <xxhash.h>

#include <bit>
#include <cstddef>

namespace lococo {
namespace {

size_t slots_for(size_t entries) { return std::bit_ceil(2 * entries + 1); }

uint64_t key_of(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

size_t hash_of(uint64_t pair) {
  pair *= 0x9E3779B97F4A7C15U;  // 2^64 / the golden ratio: spreads what differs in few bits
  return static_cast<size_t>(pair ^ pair >> 32);
}

size_t hash_of(std::string_view bytes) {
  return static_cast<size_t>(XXH3_64bits(bytes.data(), bytes.size()));
}

}  // namespace

MergeTable::MergeTable(const std::vector<Merge>& merges) : slots_(slots_for(merges.size())) {
  const size_t mask = slots_.size() - 1;
  uint32_t rank = 0;
  for (const Merge& merge : merges) {
    const uint64_t pair = key_of(merge.left, merge.right);
    size_t at = hash_of(pair) & mask;
    while (slots_[at].entry.rank != kNoRank && slots_[at].pair != pair) at = (at + 1) & mask;
    slots_[at] = {pair, {rank++, merge.merged}};
  }
}

MergeTable::Entry MergeTable::find(int32_t left, int32_t right) const {
  const size_t mask = slots_.size() - 1;
  const uint64_t pair = key_of(left, right);
  size_t at = hash_of(pair) & mask;
  while (slots_[at].entry.rank != kNoRank && slots_[at].pair != pair) at = (at + 1) & mask;
  return slots_[at].entry;
}

WordTable::WordTable(const std::vector<Word>& words) : slots_(slots_for(words.size())) {
  const size_t mask = slots_.size() - 1;
  for (const Word& word : words) {
    size_t at = hash_of(word.bytes) & mask;
    while (!slots_[at].bytes.empty() && slots_[at].bytes != word.bytes) at = (at + 1) & mask;
    slots_[at] = word;
  }
}

int32_t WordTable::find(std::string_view bytes) const {
  const size_t mask = slots_.size() - 1;
  size_t at = hash_of(bytes) & mask;
  while (!slots_[at].bytes.empty() && slots_[at].bytes != bytes) at = (at + 1) & mask;
  return slots_[at].bytes.empty() ? -1 : slots_[at].id;
}

}  // namespace lococo
