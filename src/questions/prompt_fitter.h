// Prompts of an exact number of tokens: hay with sentences put into it, and the question behind.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "questions/hay.h"
#include "questions/prompt_form.h"
#include "questions/token_costs.h"

namespace lococo {

/// A sentence of its own among those of the hay.
struct Insert {
  std::string text;
  /// Share of the hay's tokens in front of it, in [0, 1]; for a fact whose depth was drawn of those
  /// that leave the distance to the question, so that 1 is the last place that keeps it.
  double depth = 0.0;
  bool is_fact = true;          ///< keeps the distance, and where it ends is told
  bool is_asked_depth = false;  ///< a fact's, of all the hay: refused where it leaves no distance
};

/// A prompt that is too short for what it is to hold.
class NoRoom : public UserError {
 public:
  using UserError::UserError;
};

struct PromptText {
  std::string before;           ///< at the beginning of the context
  std::vector<Insert> inserts;  ///< those that fall on one place stand in this order
  std::string after = "\n";     ///< at the end of the context
  std::string question, answer_prefix;
  int64_t min_distance = 0;  ///< tokens between a fact's end and the question, at least
};

struct FittedPrompt {
  PromptIds ids;
  std::string context;             ///< its text
  std::vector<int64_t> fact_ends;  ///< for each fact the context's tokens up to its end
};

/// Prompts have at most `length` tokens, and nearly always exactly as many: the hay begins with the
/// word that makes it so and ends with a whole sentence; where no word does, with the one that
/// leaves the fewest tokens over. The ids are those of the whole text. Not for several threads at
/// once.
class PromptFitter {
 public:
  PromptFitter(const Hay& hay, const PromptForm& form);

  /// `place` draws where the hay begins. Throws NoRoom when `length` has no room for the
  /// question and the distance, UserError when a fact's asked depth does not leave the distance or
  /// the texts are shorter than it asks for.
  FittedPrompt fit(const PromptText& text, int64_t length, uint64_t place);

  const Hay& hay() const { return hay_; }
  const PromptForm& form() const { return form_; }

 private:
  struct Stretch;
  struct Trim;
  struct Assembled;
  void extend(Stretch* stretch, int64_t budget);
  Trim choose_trim(Stretch* stretch, int64_t budget, int64_t later);
  int64_t place_of(const Insert& insert, const Stretch& stretch, const Trim& trim,
                   int64_t distance) const;
  Assembled assemble(const PromptText& text, const Stretch& stretch, const Trim& trim,
                     int64_t distance) const;
  FittedPrompt fit_once(const PromptText& text, int64_t length, int64_t distance, Stretch* stretch);
  std::vector<int64_t> fact_ends(const PromptText& text, const Assembled& assembled) const;

  const Hay& hay_;
  const PromptForm& form_;
  TokenCosts costs_;
};

}  // namespace lococo
