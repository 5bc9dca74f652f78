#include "questions/question_generator.h"

#include <set>

#include "questions/sentences.h"
#include "tests/support/catch.h"
#include "tests/support/chunk_tokenizer.h"
#include "tests/support/made_novel.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr FactKind kKinds[] = {FactKind::kDigits, FactKind::kWords, FactKind::kNames,
                               FactKind::kParaphrase};

struct Generator {
  ChunkTokenizer tokenizer;
  PlainForm form{tokenizer};
  Hay hay = Hay::of_texts({made_novel(4000)});
  PromptFitter fitter{hay, form};

  LongQuestion question(const QuestionOptions& options, int64_t trial, int64_t length = 1500,
                        uint64_t seed = 1) {
    return make_question(options, length, seed, trial, &fitter);
  }
};

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

size_t numbers_of(const std::string& text, size_t digits) {
  size_t count = 0, run = 0;
  for (const char c : text + " ") {
    if (c >= '0' && c <= '9') {
      ++run;
    } else {
      count += run == digits ? 1 : 0;
      run = 0;
    }
  }
  return count;
}

}  // namespace

TEST_CASE("Each kind of question has its fact in the text and the answer in the fact",
          "[questions]") {
  Generator generator;
  for (const FactKind kind : kKinds) {
    for (int64_t trial = 0; trial < 20; ++trial) {
      QuestionOptions options;
      options.kind = kind;
      const LongQuestion question = generator.question(options, trial);
      const AskedFact& asked = question.asked.at(0);
      INFO(asked.fact.statement << " / " << asked.fact.question);
      CHECK(count_of(question.context, asked.fact.statement) == 1);
      CHECK(count_of(asked.fact.statement, asked.fact.answer) == 1);
      CHECK(asked.fact.question.find(asked.fact.answer) == std::string::npos);
      CHECK(asked.fact.statement.find('{') == std::string::npos);
      CHECK(asked.fact.question.find('{') == std::string::npos);
      CHECK(asked.fact.answer_prefix.find('{') == std::string::npos);
      const auto& decode = generator.tokenizer;
      CHECK(decode.decode(question.context_ids) == question.context);
      CHECK(decode.decode(asked.question_ids) ==
            asked.fact.question + " " + asked.fact.answer_prefix);
      CHECK(decode.decode(asked.answer_ids) == " " + asked.fact.answer);
      CHECK(question.context_ids.size() + asked.question_ids.size() == 1500);
    }
  }
}

TEST_CASE("Questions are the same in every order and for every length and depth", "[questions]") {
  Generator one, other;
  QuestionOptions options;
  options.facts = 2;
  options.distractors = 3;
  const LongQuestion third = one.question(options, 3);
  for (int64_t trial = 5; trial >= 0; --trial) {
    const LongQuestion question = other.question(options, trial);
    if (trial == 3) {
      CHECK(question.context_ids == third.context_ids);
      CHECK(question.asked[0].question_ids == third.asked[0].question_ids);
    } else {
      CHECK(question.asked[0].fact.answer != third.asked[0].fact.answer);
    }
  }
  CHECK(one.question(options, 3, 900).asked[0].fact.statement == third.asked[0].fact.statement);
  options.depths = {0.1};
  CHECK(one.question(options, 3).asked[0].fact.statement == third.asked[0].fact.statement);
  CHECK(one.question(options, 3, 1500, 2).asked[0].fact.answer != third.asked[0].fact.answer);
  // The same on every machine: these are what the first one drew.
  CHECK(third.asked[0].fact.answer == "36141");
}

TEST_CASE("What is asked can be drawn without a text", "[questions]") {
  Generator generator;
  for (const FactKind kind : kKinds) {
    QuestionOptions options;
    options.kind = kind;
    options.facts = 4;
    options.asked = 3;
    options.distractors = 5;
    options.emphasis = Emphasis::kTwice;
    options.contradicted = true;
    const auto asked = draw_asked(options, 1, 7, generator.fitter);
    const LongQuestion question = generator.question(options, 7);
    REQUIRE(asked.size() == 3);
    for (size_t i = 0; i < asked.size(); ++i) {
      const AskedFact& with_text = question.asked[i];
      CHECK(asked[i].fact.statement == with_text.fact.statement);
      CHECK(asked[i].question == with_text.question);
      CHECK(asked[i].answer_ids == with_text.answer_ids);
      const std::string text = generator.tokenizer.decode(with_text.question_ids);
      CHECK(text == asked[i].question + " " + asked[i].fact.answer_prefix);
    }
  }
}

TEST_CASE("Distractor numbers have as many digits and are in the text", "[questions]") {
  Generator generator;
  QuestionOptions options;
  options.distractors = 30;
  options.digits = 6;
  const LongQuestion question = generator.question(options, 0);
  CHECK(numbers_of(question.context, 6) == 31);
  options.distractors = 0;
  CHECK(numbers_of(generator.question(options, 0).context, 6) == 1);
}

TEST_CASE("Distractors of other kinds are facts of the same kind", "[questions]") {
  Generator generator;
  for (const FactKind kind : {FactKind::kWords, FactKind::kNames, FactKind::kParaphrase}) {
    QuestionOptions options;
    options.kind = kind;
    options.facts = 6;
    options.asked = 6;
    const LongQuestion with_facts = generator.question(options, 1);
    std::set<std::string> questions, answers;
    for (const AskedFact& asked : with_facts.asked) {
      CHECK(count_of(with_facts.context, asked.fact.statement) == 1);
      questions.insert(asked.fact.question);
      answers.insert(asked.fact.answer);
    }
    CHECK((questions.size() == 6 && answers.size() == 6));
  }
}

TEST_CASE("Several questions share one context", "[questions]") {
  Generator generator;
  QuestionOptions options;
  options.facts = 4;
  options.asked = 3;
  options.depths = {0.1, 0.4, 0.6, 0.9};
  const LongQuestion question = generator.question(options, 2);
  REQUIRE(question.asked.size() == 3);
  size_t longest = 0;
  for (size_t i = 0; i < 3; ++i) {
    const AskedFact& asked = question.asked[i];
    longest = std::max(longest, question.context_ids.size() + asked.question_ids.size());
    CHECK(asked.depth == options.depths[i]);
    CHECK(static_cast<double>(asked.end) / static_cast<double>(question.context_ids.size()) ==
          Approx(asked.depth).margin(0.05));
  }
  CHECK(longest == 1500);
}

TEST_CASE("An emphasised fact is contradicted in passing where that is asked for", "[questions]") {
  Generator generator;
  for (const Emphasis emphasis : {Emphasis::kImportant, Emphasis::kTwice}) {
    for (const FactKind kind : kKinds) {
      QuestionOptions options;
      options.kind = kind;
      options.emphasis = emphasis;
      options.contradicted = true;
      const LongQuestion question = generator.question(options, 0);
      const Fact& fact = question.asked[0].fact;
      INFO(question.context);
      CHECK(count_of(question.context, fact.statement) == (emphasis == Emphasis::kTwice ? 2u : 1u));
      const size_t gap = fact.open_statement.find("{a}");
      const std::string beginning = fact.open_statement.substr(0, gap);
      const std::string rest = fact.open_statement.substr(gap + 3);
      const std::string& longer = beginning.size() > rest.size() ? beginning : rest;
      CHECK(count_of(question.context, longer) == (emphasis == Emphasis::kTwice ? 3u : 2u));
      CHECK_CONTAINS(generator.tokenizer.decode(question.asked[0].question_ids),
                     "The answer is what was said");
    }
  }
}

TEST_CASE("Names that are asked for occur elsewhere in the text too", "[questions]") {
  Generator generator;
  Hay filler = Hay::filler();
  PromptFitter in_filler(filler, generator.form);
  for (int64_t trial = 0; trial < 20; ++trial) {
    QuestionOptions options;
    options.kind = FactKind::kNames;
    for (PromptFitter* fitter : {&generator.fitter, &in_filler}) {
      const LongQuestion question = make_question(options, 1500, 1, trial, fitter);
      const std::string& name = question.asked[0].fact.answer;
      INFO(name);
      CHECK(count_of(question.context, name) >= 2);
    }
  }
}

TEST_CASE("Facts are made of the words of their split", "[questions]") {
  Generator generator;
  for (const Split split : {Split::kTrain, Split::kValidation, Split::kTest}) {
    for (int64_t trial = 0; trial < 30; ++trial) {
      QuestionOptions options;
      options.kind = FactKind::kWords;
      options.split = split;
      const std::string answer = generator.question(options, trial, 500).asked[0].fact.answer;
      const auto& words = words_of(WordList::kNouns, split);
      CHECK(std::find(words.begin(), words.end(), answer) != words.end());
    }
  }
}

TEST_CASE("Facts end at least as far before the question as asked for", "[questions]") {
  Generator generator;
  for (int64_t trial = 0; trial < 20; ++trial) {
    QuestionOptions options;
    options.facts = 4;
    options.asked = 4;
    options.min_distance = 600;
    const LongQuestion question = generator.question(options, trial);
    for (const AskedFact& asked : question.asked) {
      CHECK(static_cast<int64_t>(question.context_ids.size()) - asked.end >= 600);
    }
  }
}
