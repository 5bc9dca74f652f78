// What a lesson is about, before it is made.
#pragma once

#include <cstdint>

#include "questions/question_generator.h"

namespace lococo {

struct LessonPlan {
  QuestionOptions question;
  bool in_plain_text = false;  ///< asked without the model's chat template
};

/// Sentences that the smallest lesson takes besides the text around them.
inline constexpr int64_t kFewestSentences = 7;

/// The plan of lesson `index`, from hashes of it and `seed` alone. Of 100 lessons about 40 ask for
/// numbers of 3 to 7 digits, 30 for words, 15 for names, 15 in other words than the text's; a third
/// each say nothing about what matters, say that it does, or say it twice; of those that say so a
/// quarter also say the contrary in passing; a third hold up to 40 other sentences of the same
/// form; a quarter are plain text. 1 to 6 facts, of which 1 to 3 are asked for. Everything is of
/// Split::kTrain. Where that comes to more than `sentences` sentences (what is asked counts too; at
/// least kFewestSentences), there is less of it: first fewer other sentences, then fewer questions
/// and facts.
LessonPlan plan_lesson(uint64_t seed, int64_t index, int64_t sentences);

}  // namespace lococo
