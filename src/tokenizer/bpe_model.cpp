#include "tokenizer/bpe_model.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <queue>
#include <utility>

namespace lococo {
namespace {

constexpr size_t kShort = 32;  ///< bytes; longer words are faster with a heap

std::array<int32_t, 256> ids_of_bytes(const std::vector<std::string>& bytes_of) {
  std::array<int32_t, 256> ids;
  ids.fill(-1);
  for (size_t id = 0; id < bytes_of.size(); ++id) {
    if (bytes_of[id].size() == 1)
      ids[static_cast<uint8_t>(bytes_of[id][0])] = static_cast<int32_t>(id);
  }
  return ids;
}

/// A token of a word that is being merged, linked to its neighbours; -1 is no neighbour.
struct Symbol {
  int32_t id;
  int32_t previous;
  int32_t next;  ///< itself gone when its id is -1
};

/// A pair that can be merged, if nothing has happened to it since.
struct Candidate {
  uint32_t rank;
  int32_t left;  ///< place of its left symbol

  bool operator>(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

class Merger {
 public:
  Merger(const MergeTable& merges, const std::vector<int32_t>& ids) : merges_(merges) {
    const auto count = static_cast<int32_t>(ids.size());
    symbols_.reserve(ids.size());
    for (int32_t i = 0; i < count; ++i)
      symbols_.push_back({ids[i], i - 1, i + 1 == count ? -1 : i + 1});
    for (int32_t i = 0; i + 1 < count; ++i) consider(i);
  }

  void run() {
    while (!candidates_.empty()) {
      const Candidate candidate = candidates_.top();
      candidates_.pop();
      const MergeTable::Entry merge = merge_at(candidate.left);
      if (merge.rank == candidate.rank) join(candidate.left, merge.merged);
    }
  }

  void append_to(std::vector<int32_t>* ids) const {
    if (symbols_.empty()) return;
    for (int32_t i = 0; i >= 0; i = symbols_[i].next) ids->push_back(symbols_[i].id);
  }

 private:
  MergeTable::Entry merge_at(int32_t left) const {
    const Symbol& symbol = symbols_[left];
    if (symbol.id < 0 || symbol.next < 0) return {};
    return merges_.find(symbol.id, symbols_[symbol.next].id);
  }

  void consider(int32_t left) {
    const MergeTable::Entry merge = merge_at(left);
    if (merge.rank != MergeTable::kNoRank) candidates_.push({merge.rank, left});
  }

  void join(int32_t left, int32_t merged) {
    Symbol& symbol = symbols_[left];
    Symbol& gone = symbols_[symbol.next];
    symbol.id = merged;
    symbol.next = gone.next;
    if (gone.next >= 0) symbols_[gone.next].previous = left;
    gone.id = -1;
    if (symbol.previous >= 0) consider(symbol.previous);
    consider(left);
  }

  const MergeTable& merges_;
  std::vector<Symbol> symbols_;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates_;
};

}  // namespace

BpeModel::BpeModel(BpeVocabulary vocabulary)
    : vocabulary_(std::move(vocabulary)),
      id_of_byte_(ids_of_bytes(vocabulary_.bytes_of)),
      merges_(vocabulary_.merges),
      words_(std::make_unique<WordTable>(words_of_one_token())) {}

std::vector<WordTable::Word> BpeModel::words_of_one_token() const {
  std::vector<WordTable::Word> words;
  std::vector<int32_t> ids;
  for (size_t i = 0; i < vocabulary_.bytes_of.size(); ++i) {
    const std::string& bytes = vocabulary_.bytes_of[i];
    if (bytes.empty()) continue;
    const auto id = static_cast<int32_t>(i);
    ids.clear();
    if (!vocabulary_.ignore_merges) merge_with_heap(bytes, &ids);
    if (vocabulary_.ignore_merges || ids == std::vector<int32_t>{id}) words.push_back({bytes, id});
  }
  return words;
}

std::vector<int32_t> BpeModel::single_bytes(std::string_view word) const {
  std::vector<int32_t> ids;
  ids.reserve(word.size());
  bool after_unknown = false;
  for (const char c : word) {
    const int32_t id = id_of_byte_[static_cast<uint8_t>(c)];
    const bool left_out =
        id < 0 && (vocabulary_.unknown < 0 || (after_unknown && vocabulary_.fuse_unknown));
    if (!left_out) ids.push_back(id < 0 ? vocabulary_.unknown : id);
    after_unknown = id < 0;
  }
  return ids;
}

void BpeModel::merge_by_definition(std::string_view word, std::vector<int32_t>* ids) const {
  std::vector<int32_t> symbols = single_bytes(word);
  std::vector<MergeTable::Entry> pairs;  // of each symbol and the next
  for (size_t i = 0; i + 1 < symbols.size(); ++i)
    pairs.push_back(merges_.find(symbols[i], symbols[i + 1]));
  while (!pairs.empty()) {
    const auto best = std::min_element(
        pairs.begin(), pairs.end(), [](const auto& a, const auto& b) { return a.rank < b.rank; });
    if (best->rank == MergeTable::kNoRank) break;
    const auto at = static_cast<size_t>(best - pairs.begin());
    symbols[at] = best->merged;
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    pairs.erase(best);
    if (at < pairs.size()) pairs[at] = merges_.find(symbols[at], symbols[at + 1]);
    if (at > 0) pairs[at - 1] = merges_.find(symbols[at - 1], symbols[at]);
  }
  ids->insert(ids->end(), symbols.begin(), symbols.end());
}

void BpeModel::merge_with_heap(std::string_view word, std::vector<int32_t>* ids) const {
  Merger merger(merges_, single_bytes(word));
  merger.run();
  merger.append_to(ids);
}

void BpeModel::encode_word(std::string_view word, std::vector<int32_t>* ids) const {
  const int32_t id = words_->find(word);
  if (id >= 0) {
    ids->push_back(id);
  } else if (word.size() <= kShort) {
    merge_by_definition(word, ids);
  } else {
    merge_with_heap(word, ids);
  }
}

}  // namespace lococo
