#include "lessons/lesson_source.h"

#include <future>
#include <set>

#include "core/files.h"
#include "core/target_kind.h"
#include "lessons/lesson_plan.h"
#include "lessons/text_kinds.h"
#include "tests/support/byte_tokenizer.h"
#include "tests/support/catch.h"
#include "tests/support/made_novel.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t kLength = 6000;
const std::string kEndOfTurn = "<|im_end|>";

std::shared_ptr<const Tokenizer> byte_tokenizer() {
  return std::make_shared<ByteTokenizer>(
      std::vector<std::string>{"<s>", "</s>", "<|im_start|>", kEndOfTurn});
}

LessonOptions options_of(ChatFormat format) {
  LessonOptions options;
  options.context_length = kLength;
  options.chat = usual_template(format, {});
  return options;
}

LessonSource source_of(ChatFormat format, uint64_t novel = 1) {
  return {options_of(format), Hay::of_texts({made_novel(3000, novel)}), byte_tokenizer()};
}

TargetKind kind_at(const Lesson& lesson, size_t target) {
  return static_cast<TargetKind>(lesson.kinds.at(target));
}

std::string text_of(const Lesson& lesson, size_t begin, size_t end) {
  return byte_tokenizer()->decode({lesson.tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                                   lesson.tokens.begin() + static_cast<std::ptrdiff_t>(end)});
}

/// A stretch of answer targets as tokens [begin, end).
struct Answer {
  size_t begin = 0, end = 0;
  std::string text;
};

std::vector<Answer> answers_of(const Lesson& lesson) {
  std::vector<Answer> answers;
  for (size_t t = 0; t < lesson.kinds.size(); ++t) {
    if (kind_at(lesson, t) != TargetKind::kAnswer) continue;
    if (answers.empty() || answers.back().end != t + 1) answers.push_back({t + 1, t + 1, ""});
    answers.back().end = t + 2;
  }
  for (Answer& answer : answers) answer.text = text_of(lesson, answer.begin, answer.end);
  return answers;
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

}  // namespace

TEST_CASE("A lesson is as long as a sequence and the same whoever makes it", "[lessons]") {
  const auto source = source_of(ChatFormat::kChatml), same = source_of(ChatFormat::kChatml);
  constexpr int64_t kLessons = 12;
  std::vector<Lesson> lessons;
  for (int64_t i = 0; i < kLessons; ++i) lessons.push_back(source.lesson(1, i));
  const auto check_range = [&](int64_t from) {
    bool equal = true;
    for (int64_t i = kLessons - 1; i >= from; --i) {
      const Lesson lesson = same.lesson(1, i);
      equal = equal && lesson.tokens == lessons[static_cast<size_t>(i)].tokens &&
              lesson.kinds == lessons[static_cast<size_t>(i)].kinds;
    }
    return equal;
  };
  auto other_thread = std::async(std::launch::async, [&] { return check_range(3); });
  CHECK(check_range(0));
  CHECK(other_thread.get());
  for (const Lesson& lesson : lessons) {
    CHECK(lesson.tokens.size() == kLength + 1);
    CHECK(lesson.kinds.size() == kLength);
  }
  CHECK(lessons[0].tokens != lessons[1].tokens);
  CHECK(source.lesson(2, 0).tokens != lessons[0].tokens);
}

TEST_CASE("Answers are where the kinds say, and stand in the text before", "[lessons]") {
  const auto source = source_of(ChatFormat::kChatml);
  int64_t numbers = 0, in_plain_text = 0;
  for (int64_t i = 0; i < 60; ++i) {
    INFO(i);
    const LessonPlan plan = plan_lesson(1, i, /*sentences=*/1000);
    const Lesson lesson = source.lesson(1, i);
    const std::vector<Answer> answers = answers_of(lesson);
    REQUIRE((!answers.empty() && answers.size() <= 3));
    in_plain_text += plan.in_plain_text ? 1 : 0;
    const std::string asked_in = text_of(lesson, 0, answers[0].begin);
    CHECK((asked_in.find("<|im_start|>assistant\n") == std::string::npos) == plan.in_plain_text);
    for (const Answer& answer : answers) {
      INFO(answer.text);
      CHECK(answer.text.front() == ' ');
      CHECK(answer.text.ends_with(kEndOfTurn) == !plan.in_plain_text);
      const std::string word = plan.in_plain_text
                                   ? answer.text
                                   : answer.text.substr(0, answer.text.size() - kEndOfTurn.size());
      // Without the blank: a sentence may begin with it, and a line with the sentence.
      const size_t times = count_of(text_of(lesson, 0, answers[0].begin), word.substr(1));
      CHECK(times >= (plan.question.emphasis == Emphasis::kTwice ? 2U : 1U));
      const bool is_number = word.find_first_not_of("0123456789", 1) == std::string::npos;
      CHECK(is_number == (plan.question.kind == FactKind::kDigits));
      numbers += is_number ? 1 : 0;
    }
  }
  CHECK((numbers > 10 && in_plain_text > 5));
}

TEST_CASE("Only what fills a lesson up is ignored, and nearly nothing does", "[lessons]") {
  const auto source = source_of(ChatFormat::kChatml);
  size_t ignored = 0;
  for (int64_t i = 0; i < 60; ++i) {
    const Lesson lesson = source.lesson(1, i);
    size_t used = lesson.kinds.size();
    while (kind_at(lesson, used - 1) == TargetKind::kIgnored) --used;
    ignored += lesson.kinds.size() - used;
    for (size_t t = used; t < lesson.kinds.size(); ++t) CHECK(lesson.tokens[t + 1] == 257);
    // Everything but the answers is text like any other.
    const std::vector<int64_t> text(lesson.tokens.begin(),
                                    lesson.tokens.begin() + static_cast<std::ptrdiff_t>(used) + 1);
    const auto kinds = text_kinds(text, LessonOptions().far);
    std::set<TargetKind> seen;
    for (size_t t = 0; t < used; ++t) {
      seen.insert(kind_at(lesson, t));
      if (kind_at(lesson, t) != TargetKind::kAnswer) CHECK(lesson.kinds[t] == kinds[t]);
    }
    CHECK(seen == std::set<TargetKind>{TargetKind::kText, TargetKind::kFar, TargetKind::kAnswer});
  }
  CHECK(ignored < 60);  // fewer than one of 6,000
}

TEST_CASE("A model without a template is taught in plain text", "[lessons]") {
  const auto source = source_of(ChatFormat::kNone);
  for (int64_t i = 0; i < 10; ++i) {
    const Lesson lesson = source.lesson(1, i);
    CHECK(lesson.tokens[0] == 256);  // BOS
    const auto answers = answers_of(lesson);
    for (size_t a = 0; a < answers.size(); ++a) {
      const std::string between = ".\n";
      const size_t count = a + 1 < answers.size() ? between.size() : 1;
      CHECK(text_of(lesson, answers[a].end, answers[a].end + count) == between.substr(0, count));
    }
  }
}

TEST_CASE("A lesson's fingerprint knows its texts, tokenizer and template", "[lessons]") {
  const auto print = [](ChatFormat format, uint64_t novel) {
    return source_of(format, novel).fingerprint();
  };
  CHECK(print(ChatFormat::kChatml, 1) == print(ChatFormat::kChatml, 1));
  CHECK(print(ChatFormat::kChatml, 1) != print(ChatFormat::kChatml, 2));
  CHECK(print(ChatFormat::kChatml, 1) != print(ChatFormat::kNone, 1));
}

TEST_CASE("What is too short for a lesson is refused in one line", "[lessons]") {
  auto options = options_of(ChatFormat::kNone);
  CHECK_CONTAINS(user_error_of([&] {
                   LessonSource(options, Hay::of_texts({made_novel(20)}), byte_tokenizer());
                 }),
                 "data.lesson_texts");
  options.context_length = 500;
  CHECK_CONTAINS(user_error_of([&] {
                   LessonSource(options, Hay::of_texts({made_novel(3000)}), byte_tokenizer());
                 }),
                 "data.context_length");
}
