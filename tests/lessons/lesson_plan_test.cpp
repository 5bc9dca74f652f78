#include "lessons/lesson_plan.h"

#include <map>

#include "tests/support/catch.h"

using namespace lococo;

namespace {

constexpr int64_t kPlans = 4000;
constexpr int64_t kMuchRoom = 1000;

/// Three standard deviations of a share of kPlans lie within it.
constexpr double kNear = 0.025;

double share_of(const std::function<bool(const LessonPlan&)>& holds) {
  int64_t count = 0;
  for (int64_t i = 0; i < kPlans; ++i) count += holds(plan_lesson(1, i, kMuchRoom)) ? 1 : 0;
  return static_cast<double>(count) / static_cast<double>(kPlans);
}

}  // namespace

TEST_CASE("Lessons are as varied as they are said to be", "[lessons]") {
  const auto kind = [](FactKind wanted) {
    return share_of([&](const LessonPlan& plan) { return plan.question.kind == wanted; });
  };
  CHECK(kind(FactKind::kDigits) == Approx(0.40).margin(kNear));
  CHECK(kind(FactKind::kWords) == Approx(0.30).margin(kNear));
  CHECK(kind(FactKind::kNames) == Approx(0.15).margin(kNear));
  CHECK(kind(FactKind::kParaphrase) == Approx(0.15).margin(kNear));
  for (const auto emphasis : {Emphasis::kNone, Emphasis::kImportant, Emphasis::kTwice}) {
    CHECK(share_of([&](const LessonPlan& plan) { return plan.question.emphasis == emphasis; }) ==
          Approx(1.0 / 3.0).margin(kNear));
  }
  CHECK(share_of([](const LessonPlan& plan) { return plan.in_plain_text; }) ==
        Approx(0.25).margin(kNear));
  CHECK(share_of([](const LessonPlan& plan) { return plan.question.contradicted; }) ==
        Approx(1.0 / 6.0).margin(kNear));
  CHECK(share_of([](const LessonPlan& plan) { return plan.question.distractors > 0; }) ==
        Approx(1.0 / 2.0 * 40.0 / 41.0).margin(kNear));
}

TEST_CASE("Plans keep within their bounds and ask of the training split alone", "[lessons]") {
  std::map<int64_t, int> facts, asked, digits;
  for (int64_t i = 0; i < kPlans; ++i) {
    const QuestionOptions options = plan_lesson(1, i, kMuchRoom).question;
    ++facts[options.facts];
    ++asked[options.asked];
    ++digits[options.digits];
    CHECK((options.split == Split::kTrain));
    CHECK(options.asked <= options.facts);
    CHECK((!options.contradicted || options.emphasis != Emphasis::kNone));
    CHECK((options.distractors >= 0 && options.distractors <= 40));
    CHECK(options.depths.empty());  // drawn uniformly
  }
  CHECK((facts.size() == 6 && facts.begin()->first == 1));
  CHECK((asked.size() == 3 && asked.begin()->first == 1));
  CHECK((digits.size() == 5 && digits.begin()->first == 3));
}

TEST_CASE("A small context leaves room for fewer sentences", "[lessons]") {
  for (int64_t i = 0; i < 500; ++i) {
    const QuestionOptions small = plan_lesson(1, i, kFewestSentences).question;
    CHECK((small.facts >= small.asked && small.asked >= 1));
    CHECK(small.facts + small.distractors + 3 * small.asked <= kFewestSentences);
    CHECK((small.kind == plan_lesson(1, i, kMuchRoom).question.kind));
  }
  CHECK_THROWS_AS(plan_lesson(1, 0, kFewestSentences - 1), std::logic_error);
}
