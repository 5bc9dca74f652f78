// The words that questions about long texts are made of: our own lists, so that nothing has to be
// downloaded.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "config/eval_config.h"

namespace lococo {

/// Whose words and sentences a question is made of; the parts have none in common.
using Split = QuestionSplit;
inline constexpr size_t kNumSplits = 3;

/// Nouns and adjectives are in lower case, no noun is part of another noun; names and places are
/// single words.
enum class WordList { kNouns, kAdjectives, kFirstNames, kSurnames, kPlaces };
inline constexpr size_t kNumWordLists = 5;

/// The part of a list that belongs to a split: of five words in a row three are for training, one
/// for validation, one for the test.
const std::vector<std::string>& words_of(WordList list, Split split);
std::vector<std::string> part_of(const std::vector<std::string>& words, Split split);

/// The nouns by what they name: "animal", "tool", ...; a category's words are those of all splits.
struct Category {
  std::string name;
  std::vector<std::string> words;
};
const std::vector<Category>& noun_categories();

}  // namespace lococo
