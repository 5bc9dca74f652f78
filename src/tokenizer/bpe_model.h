// Byte-pair encoding of one word: Sennrich et al. 2016, over bytes as in GPT-2.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/bpe_tables.h"

namespace lococo {

/// What the model's part of a tokenizer.json says.
struct BpeVocabulary {
  /// For each id the bytes of the words that it stands for; empty for an id that no word can get.
  std::vector<std::string> bytes_of;
  std::vector<Merge> merges;   ///< the first ones are done first
  bool ignore_merges = false;  ///< a word that is a token is that token, whatever the merges say
  int32_t unknown = -1;        ///< in place of a byte that is no token; -1: it is left out
  bool fuse_unknown = false;   ///< one for several such bytes in a row
};

/// May be used by several threads at once: everything is worked out beforehand, nothing is cached
/// later.
class BpeModel {
 public:
  explicit BpeModel(BpeVocabulary vocabulary);

  /// Appends the ids of a word (any bytes, at least one) to `ids`.
  void encode_word(std::string_view word, std::vector<int32_t>* ids) const;

  /// The same by the definition: the pair of the lowest rank, of several the leftmost, is merged as
  /// long as there is one. Time quadratic in the word's length; for short words, and the truth that
  /// the other ways are held against.
  void merge_by_definition(std::string_view word, std::vector<int32_t>* ids) const;

  /// The same with a heap of pairs, for words of any length.
  void merge_with_heap(std::string_view word, std::vector<int32_t>* ids) const;

 private:
  std::vector<int32_t> single_bytes(std::string_view word) const;
  std::vector<WordTable::Word> words_of_one_token() const;

  BpeVocabulary vocabulary_;
  std::array<int32_t, 256> id_of_byte_;
  MergeTable merges_;
  std::unique_ptr<const WordTable> words_;  ///< those that are one token
};

}  // namespace lococo
