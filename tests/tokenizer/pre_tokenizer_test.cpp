#include "tokenizer/pre_tokenizer.h"

#include <string>

#include "tests/support/catch.h"

using namespace lococo;

namespace {

using Words = std::vector<std::string>;

SplitStep step(const char* pattern, SplitBehavior behavior = SplitBehavior::kIsolated,
               bool invert = false, bool prefix_space = false) {
  return {prefix_space, Pattern(pattern), behavior, invert};
}

template <typename... Steps>
Words split(const std::string& text, Steps... steps) {
  std::vector<SplitStep> list;
  (list.push_back(std::move(steps)), ...);
  Words words;
  PreTokenizer(std::move(list)).split(text, [&](std::string_view word) {
    words.emplace_back(word);
  });
  return words;
}

}  // namespace

TEST_CASE("Every behavior cuts as its name says", "[tokenizer]") {
  const auto words = [](SplitBehavior behavior, bool invert = false) {
    return split("the-final--countdown", step("-", behavior, invert));
  };
  CHECK(words(SplitBehavior::kIsolated) == Words{"the", "-", "final", "-", "-", "countdown"});
  CHECK(words(SplitBehavior::kRemoved) == Words{"the", "final", "countdown"});
  CHECK(words(SplitBehavior::kRemoved, true) == Words{"-", "-", "-"});
  CHECK(words(SplitBehavior::kMergedWithPrevious) == Words{"the-", "final-", "-", "countdown"});
  CHECK(words(SplitBehavior::kMergedWithNext) == Words{"the", "-final", "-", "-countdown"});
  CHECK(words(SplitBehavior::kContiguous) == Words{"the", "-", "final", "--", "countdown"});
}

TEST_CASE("A match of nothing cuts, except directly behind a match", "[tokenizer]") {
  CHECK(split("abC", step("(?=C)")) == Words{"ab", "C"});
  CHECK(split("a1\u00e9", step("1?")) == Words{"a", "1", "\u00e9"});
}

TEST_CASE("Steps work on each other's pieces", "[tokenizer]") {
  CHECK(split("ab12cd", step("\\p{N}"), step("c")) == Words{"ab", "1", "2", "c", "d"});
  SplitStep prefix;
  prefix.prefix_space = true;
  CHECK(split("ab1 c", step("\\p{N}"), std::move(prefix)) == Words{" ab", " 1", " c"});
}

TEST_CASE("A space is put in front where there is none, and cut with the rest", "[tokenizer]") {
  const auto spaced = [](const char* text) {
    return split(text, step(kByteLevelPattern, SplitBehavior::kIsolated, false, true));
  };
  CHECK(spaced("it's here") == Words{" it", "'s", " here"});
  CHECK(spaced(" it") == Words{" it"});
  CHECK(spaced("\nit") == Words{" ", "\n", "it"});
}
