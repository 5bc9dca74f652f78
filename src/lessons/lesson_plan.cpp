#include "lessons/lesson_plan.h"

#include <algorithm>
#include <stdexcept>

#include "questions/draws.h"

namespace lococo {
namespace {

constexpr uint64_t kPlanDraw = 0x6C6573736F6Eull;
constexpr size_t kMostFacts = 6, kMostAsked = 3, kMostDistractors = 40;

FactKind kind_of(double draw) {
  if (draw < 0.4) return FactKind::kDigits;
  if (draw < 0.7) return FactKind::kWords;
  return draw < 0.85 ? FactKind::kNames : FactKind::kParaphrase;
}

// A question and its answer are as long as three sentences, the template's words included.
int64_t sentences_of(const QuestionOptions& options) {
  int64_t for_each_asked = 3;
  if (options.emphasis == Emphasis::kTwice) ++for_each_asked;
  if (options.contradicted) ++for_each_asked;
  if (options.kind == FactKind::kNames) ++for_each_asked;  // it is mentioned elsewhere
  return options.facts + options.distractors + options.asked * for_each_asked;
}

void fit_into(int64_t sentences, QuestionOptions* options) {
  if (sentences < kFewestSentences) throw std::logic_error("a lesson without room");
  const auto over = [&] { return sentences_of(*options) - sentences; };
  options->distractors -= std::clamp<int64_t>(over(), 0, options->distractors);
  while (over() > 0 && options->asked > 1) --options->asked;
  options->facts -= std::clamp<int64_t>(over(), 0, options->facts - options->asked);
}

}  // namespace

LessonPlan plan_lesson(uint64_t seed, int64_t index, int64_t sentences) {
  Draws draws(hash_u64(seed, kPlanDraw, static_cast<uint64_t>(index)));
  LessonPlan plan;
  QuestionOptions& options = plan.question;
  options.split = Split::kTrain;
  plan.in_plain_text = draws.below(4) == 0;
  options.kind = kind_of(draws.uniform());
  options.digits = 3 + static_cast<int64_t>(draws.below(5));
  const size_t facts = 1 + draws.below(kMostFacts);
  options.facts = static_cast<int64_t>(facts);
  options.asked = 1 + static_cast<int64_t>(draws.below(std::min(facts, kMostAsked)));
  options.emphasis = static_cast<Emphasis>(draws.below(3));
  const bool has_contrary = draws.below(4) == 0;
  options.contradicted = has_contrary && options.emphasis != Emphasis::kNone;
  const bool has_distractors = draws.below(2) == 0;
  const auto distractors = static_cast<int64_t>(draws.below(kMostDistractors + 1));
  options.distractors = has_distractors ? distractors : 0;
  fit_into(sentences, &options);
  return plan;
}

}  // namespace lococo
