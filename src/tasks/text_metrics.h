// Figures that compare two short texts.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lococo {

/// ASCII letters in lower case; other bytes as they are.
std::string lower_case(std::string_view text);

/// The words of a text as SQuAD's evaluation sees them: lower case, without ASCII punctuation, "a",
/// "an" and "the", told apart by blanks.
std::vector<std::string> squad_words(std::string_view text);

/// 1 when both have the same squad_words, else 0.
double exact_match(std::string_view answer, std::string_view gold);

/// Harmonic mean of precision and recall over squad_words, each counted as often as it occurs
/// (SQuAD); where one has no words: 1 when both have none, else 0.
double token_f1(std::string_view answer, std::string_view gold);

/// F-measure (beta 1) of the longest common subsequence of words: runs of ASCII letters and digits
/// in lower case, as the rouge_score package splits them, and of what is not ASCII, which that
/// drops; without stemming and over the whole text as one sentence. 0 where one has no words.
double rouge_l(std::string_view answer, std::string_view gold);

}  // namespace lococo
