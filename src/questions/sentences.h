// Where the sentences of a text end.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace lococo {

/// A stretch of a text, without the blanks behind it, which `separator_end` closes.
struct Sentence {
  size_t begin = 0, end = 0, separator_end = 0;  ///< bytes of the text
  size_t num_words = 0;                          ///< between blanks
};

/// The sentences of a text in order; blanks at its beginning belong to none. One ends behind . ! ?
/// (and quotes or brackets that close) where a blank and no lower-case letter follows, but not
/// behind a title or initial ("Mr.", "J."), behind a blank line, and after 100 words at the latest.
std::vector<Sentence> split_sentences(std::string_view text);

/// ASCII blanks: what words are told apart by.
inline bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

}  // namespace lococo
