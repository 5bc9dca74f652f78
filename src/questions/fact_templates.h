// The sentences that facts and their questions are made of.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "questions/word_lists.h"

namespace lococo {

enum class FactKind {
  kDigits,      ///< a number; the question repeats the fact's words
  kWords,       ///< a common noun; the question repeats the fact's words
  kNames,       ///< a name that also occurs elsewhere in the text
  kParaphrase,  ///< fact and question have no content word in common but a person's name
};
inline constexpr size_t kNumFactKinds = 4;

/// What the answer of a template is.
enum class AnswerKind {
  kNumber,
  kNoun,
  kNameInText,
  kFirstName,
  kPlace,
  kAnimal,
  kTool,
  kFood,
  kInstrument,
  kVehicle,
  kOccupation
};

/// {a} stands for the answer, {p} for a person, {n} for a noun, {j} for an adjective, {c} for a
/// place. The prefix is the beginning of the answer's sentence, after which {a} is next.
struct FactTemplate {
  std::string statement;
  std::string question;
  std::string prefix;
  AnswerKind answer;
};

/// Those for training are many, composed_templates() among them; the others were written by hand.
const std::vector<FactTemplate>& templates_of(FactKind kind, Split split);

/// {s} stands for the fact's sentence.
const std::vector<const char*>& important_forms(Split split);  ///< to be remembered
const std::vector<const char*>& repeated_forms(Split split);   ///< {s} is there twice
const std::vector<const char*>& passing_forms(Split split);    ///< of no account

/// Sentences with a number {a} that nobody asks for, and a place {c} or noun {n}.
const std::vector<const char*>& number_sentences(Split split);

/// A sentence in which the name {a} does nothing that matters.
const std::vector<const char*>& mention_sentences(Split split);

}  // namespace lococo
