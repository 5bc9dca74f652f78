#include "tasks/ruler.h"

#include <algorithm>
#include <map>
#include <sstream>

#include "tasks/scoring.h"
#include "tests/support/catch.h"
#include "tests/support/chunk_tokenizer.h"
#include "tests/support/made_novel.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

const ChunkTokenizer& tokenizer() {
  static const ChunkTokenizer instance;
  return instance;
}

TaskSample sample_of(const std::string& kind, int64_t length, int64_t trial = 0) {
  static const PlainForm form(tokenizer());
  static const Hay novel = Hay::of_texts({made_novel(6000)});
  EvalTaskConfig config;
  config.task = EvalTask::kRuler;
  config.kinds = {kind};
  return RulerSource(config, {length}, &novel, form).sample(trial);
}

std::string text_of(const TaskSample& sample) {
  return tokenizer().decode(sample.context_ids) + tokenizer().decode(sample.question_ids);
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++count;
  return count;
}

// Words of the list behind `begin`, with how often each stands there.
std::map<std::string, int> counted(const std::string& text, const std::string& begin,
                                   const std::string& end) {
  const size_t from = text.rfind(begin) + begin.size();
  std::istringstream list(text.substr(from, text.rfind(end) - from));
  std::map<std::string, int> counts;
  for (std::string word; list >> word;) {
    const bool is_number = word.back() == '.' && word[0] >= '0' && word[0] <= '9';
    if (!is_number) ++counts[word];
  }
  return counts;
}

}  // namespace

TEST_CASE("RULER's needles have its counts of keys and values", "[tasks]") {
  struct Expected {
    const char* kind;
    size_t needles, answers;
  };
  for (const Expected& expected :
       {Expected{"niah_single_1", 1, 1}, Expected{"niah_single_2", 1, 1},
        Expected{"niah_multikey_1", 4, 1}, Expected{"niah_multivalue", 4, 4},
        Expected{"niah_multiquery", 4, 4}}) {
    const TaskSample sample = sample_of(expected.kind, 1500);
    const std::string text = text_of(sample);
    INFO(text);
    CHECK(count_of(text, "A special magic number of ") == expected.needles);
    CHECK(sample.answers.size() == expected.answers);
    for (const std::string& answer : sample.answers) {
      CHECK(answer.size() == 7);
      CHECK(count_of(text, " is: " + answer + ".") == 1);
    }
    CHECK(sample.scoring == Scoring::kContainsAll);
    CHECK(sample.max_new_tokens == 128);
  }
}

TEST_CASE("A small niah_single_1 prompt, word for word", "[tasks]") {
  CHECK(text_of(sample_of("niah_single_1", 160)) ==
        "A special magic number is hidden in the text below. Memorize it, for I will ask you for "
        "the number afterwards.\nis blue. The sun is yellow. Here we go. There and back again.\nA "
        "special magic number of sunny-orphanage is: 5267441.\nThe grass is green. The sky is "
        "blue. The sun is yellow.\nWhat is the special magic number of sunny-orphanage that the "
        "text above mentions? The special magic number of sunny-orphanage that the text above "
        "mentions is");
}

TEST_CASE("Variables are assigned in order, and an example goes before", "[tasks]") {
  const TaskSample sample = sample_of("vt", 2048);
  const std::string text = text_of(sample);
  INFO(text);
  REQUIRE(sample.answers.size() == 5);
  size_t last = 0;
  for (size_t v = 0; v < 5; ++v) {
    CHECK(sample.answers[v].size() == 5);
    const size_t at = text.find("\nVAR " + sample.answers[v] + " = ");
    REQUIRE(at != std::string::npos);
    CHECK(at > last);
    last = at;
    if (v > 0) CHECK(count_of(text, " = VAR " + sample.answers[v - 1] + "\n") == 1);
  }
  CHECK(count_of(text, "Question: Which variables have the value ") == 2);
  const size_t example = text.find("namely: ") + 8;
  std::istringstream answer(text.substr(example, 5 * 4));
  for (std::string variable; answer >> variable;) {
    CHECK(variable.size() == 3);
    CHECK(count_of(text.substr(0, example), "\nVAR " + variable + " = ") == 1);
  }
  CHECK(text.ends_with("namely:"));
  CHECK(sample.max_new_tokens == 30);
}

TEST_CASE("Common words stand as often as RULER says", "[tasks]") {
  for (const int64_t length : {1500, 6000, 16000}) {
    const TaskSample sample = sample_of("cwe", length);
    const auto counts = counted(text_of(sample), "occur most often.\n", "\nQuestion:");
    REQUIRE(sample.answers.size() == 10);
    const bool full = length == 16000;  // 6,000 tokens have no room for 100 others here
    const int common = full ? 30 : 6, other = full ? 3 : 1;
    int with_less = 0;
    for (const auto& [word, count] : counts) {
      const bool is_answer = std::count(sample.answers.begin(), sample.answers.end(), word) == 1;
      INFO(word << " " << count);
      CHECK(count <= (is_answer ? common : other));
      CHECK((count == common) == is_answer);
      with_less += !is_answer && count < other ? 1 : 0;
    }
    CHECK(with_less <= 1);
    CHECK(count_of(text_of(sample), "Question:") == 2);
    CHECK(sample.num_tokens() <= length);
    CHECK(sample.max_new_tokens == 120);
  }
}

TEST_CASE("Frequent words follow the zeta distribution", "[tasks]") {
  const TaskSample sample = sample_of("fwe", 4096);
  auto counts = counted(text_of(sample), "occur most often. ", "\nQuestion:");
  const int dots = counts["..."];
  counts.erase("...");
  REQUIRE(sample.answers.size() == 3);
  std::vector<int> by_rank;
  for (const std::string& answer : sample.answers) {
    CHECK(answer.size() == 6);
    by_rank.push_back(counts[answer]);
    counts.erase(answer);
  }
  CHECK((dots > by_rank[0] && by_rank[0] > by_rank[1] && by_rank[1] > by_rank[2]));
  CHECK(by_rank[0] == Approx(dots / 4.0).margin(3));
  CHECK(by_rank[1] == Approx(dots / 9.0).margin(3));
  for (const auto& [word, count] : counts) CHECK(count < by_rank[2]);
  CHECK(sample.max_new_tokens == 50);
}
