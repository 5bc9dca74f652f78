// Questions about long texts: facts of several kinds, put into hay, and what is asked about them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "questions/facts.h"
#include "questions/prompt_fitter.h"

namespace lococo {

/// How the text says that a fact matters.
enum class Emphasis { kNone, kImportant, kTwice };

struct QuestionOptions {
  FactKind kind = FactKind::kDigits;
  Split split = Split::kTest;
  int64_t facts = 1;  ///< in the text
  int64_t asked = 1;  ///< of them; the first ones
  /// Depth of each fact in [0, 1] of the text (see Insert); facts beyond the list: drawn.
  std::vector<double> depths;
  int64_t min_distance = 0;  ///< tokens between the end of any fact and the question, at least
  int64_t digits = 5;        ///< of each number
  /// Sentences elsewhere in the text: for kDigits with other numbers of as many digits, for other
  /// kinds with facts of the same kind about somebody or something else.
  int64_t distractors = 0;
  Emphasis emphasis = Emphasis::kNone;  ///< of the facts that are asked for
  /// For each of those the text also says the contrary, in passing; needs emphasis, by which the
  /// question then tells what is meant.
  bool contradicted = false;
};

struct AskedFact {
  Fact fact;
  /// As it is asked: the fact's, and in a text that contradicts itself which of the two is meant.
  std::string question;
  std::vector<int32_t> question_ids, answer_ids, guess_ids;
  int64_t end = 0;     ///< context tokens up to the end of the fact's sentence
  double depth = 0.0;  ///< as given or drawn
};

/// One text with its questions, each of which may follow the context.
struct LongQuestion {
  std::vector<int32_t> context_ids;
  std::string context;
  std::vector<AskedFact> asked;
};

/// What make_question() asks, without a text: fact, question, answer_ids and guess_ids.
std::vector<AskedFact> draw_asked(const QuestionOptions& options, uint64_t seed, int64_t trial,
                                  const PromptFitter& fitter);

/// The same for the same options, seed and trial on every machine and in any order. Neither length
/// nor depths change which facts are drawn: lengths and depths compare the same questions. context
/// and the longest question have at most `length` tokens, and nearly always exactly as many. Throws
/// UserError as PromptFitter does and when facts run out.
LongQuestion make_question(const QuestionOptions& options, int64_t length, uint64_t seed,
                           int64_t trial, PromptFitter* fitter);

}  // namespace lococo
