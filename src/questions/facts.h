// Facts with their questions, made of sentence templates and words.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "questions/draws.h"
#include "questions/fact_templates.h"
#include "questions/word_lists.h"

namespace lococo {

/// A sentence for a text and how to ask for the answer in it.
struct Fact {
  std::string statement, question, answer_prefix, answer;
  /// What somebody says who knows all possible answers but not the text, and how often that is
  /// right.
  std::string guess;
  double chance = 0.0;
  std::string open_statement;  ///< with {a} for the answer
  AnswerKind answer_kind = AnswerKind::kNumber;
};

/// `count` decimal digits, the first not 0.
std::string draw_number(int64_t count, Draws* draws);

/// `form` with each {x} replaced by the value of x; {s} may stand there twice.
std::string filled(const std::string& form, const std::string& slot, const std::string& value);

/// Texts one after another with `between` between them.
std::string joined(const std::vector<std::string>& texts, const std::string& between);

/// Makes the facts of one text: no two of them, and no distractor, share an answer, and none can be
/// asked for with the question of another.
class FactMaker {
 public:
  /// `digits`: of numbers. `names`: what the answers of FactKind::kNames are drawn from.
  FactMaker(FactKind kind, Split split, int64_t digits, std::vector<std::string> names,
            Draws* draws);

  /// Throws UserError when there are no more different ones.
  Fact fact();
  /// The same with another answer: it contradicts `fact`.
  Fact rival(const Fact& fact);
  /// A sentence with a number of as many digits, that nobody asks for.
  std::string number_sentence();

 private:
  std::vector<std::string> answers_of(AnswerKind kind) const;
  Fact with_answer(Fact fact);
  bool is_new(const std::string& text);

  FactKind kind_;
  Split split_;
  int64_t digits_;
  std::vector<std::string> names_;
  Draws* draws_;
  std::vector<std::string> used_;
};

}  // namespace lococo
