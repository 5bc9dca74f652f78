#include "questions/word_lists.h"

#include <algorithm>
#include <set>
#include <sstream>

#include "questions/facts.h"
#include "tests/support/catch.h"

using namespace lococo;

namespace {

constexpr Split kSplits[] = {Split::kTrain, Split::kValidation, Split::kTest};
constexpr WordList kLists[] = {WordList::kNouns, WordList::kAdjectives, WordList::kFirstNames,
                               WordList::kSurnames, WordList::kPlaces};
constexpr FactKind kKinds[] = {FactKind::kDigits, FactKind::kWords, FactKind::kNames,
                               FactKind::kParaphrase};

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// Words that say something: no slots, no function words.
std::set<std::string> content_words(const std::string& sentence) {
  static const std::set<std::string> kFunction = {
      "a",    "the", "of",    "in",    "is",   "was", "to",   "at",     "with",
      "and",  "by",  "that",  "which", "what", "who", "does", "before", "than",
      "for",  "as",  "has",   "it",    "from", "may", "but",  "how",    "all",
      "whom", "did", "where", "on",    "into", "are", "there"};
  std::set<std::string> words;
  std::string plain;
  for (const char c : filled(filled(sentence, "{p}", ""), "{a}", "")) {
    plain += std::isalpha(static_cast<unsigned char>(c)) ? c : ' ';
  }
  std::istringstream stream(lower(plain));
  for (std::string word; stream >> word;) {
    if (!kFunction.contains(word)) words.insert(word);
  }
  return words;
}

// A word without its ending: "lives" and "live" are the same.
std::string stem(const std::string& word) {
  return word.substr(0, std::min<size_t>(4, word.size()));
}

}  // namespace

TEST_CASE("No word belongs to two splits, and none stands in a list twice", "[questions]") {
  for (const WordList list : kLists) {
    std::set<std::string> all;
    size_t count = 0;
    for (const Split split : kSplits) {
      const auto& words = words_of(list, split);
      CHECK(words.size() >= 20);
      for (const std::string& word : words) all.insert(lower(word));
      count += words.size();
    }
    CHECK(all.size() == count);
  }
}

TEST_CASE("No noun is a part of another, so a noun found in an answer was meant", "[questions]") {
  std::vector<std::string> nouns;
  for (const Category& category : noun_categories()) {
    CHECK(category.words.size() == 40);
    nouns.insert(nouns.end(), category.words.begin(), category.words.end());
  }
  for (const std::string& a : nouns) {
    for (const std::string& b : nouns) {
      INFO(a << " in " << b);
      CHECK((a == b || b.find(a) == std::string::npos));
    }
  }
}

TEST_CASE("No template belongs to two splits", "[questions]") {
  const auto no_overlap = [](const auto& texts_of) {
    std::set<std::string> all;
    size_t count = 0;
    for (const Split split : kSplits) {
      const std::vector<std::string> texts = texts_of(split);
      CHECK_FALSE(texts.empty());
      const std::set<std::string> different(texts.begin(), texts.end());
      count += different.size();
      all.insert(different.begin(), different.end());
    }
    CHECK(all.size() == count);
  };
  for (const FactKind kind : kKinds) {
    for (const auto part :
         {&FactTemplate::statement, &FactTemplate::question, &FactTemplate::prefix}) {
      no_overlap([&](Split split) {
        std::vector<std::string> texts;
        for (const FactTemplate& form : templates_of(kind, split)) texts.push_back(form.*part);
        return texts;
      });
    }
  }
  for (const auto forms :
       {important_forms, repeated_forms, passing_forms, number_sentences, mention_sentences}) {
    no_overlap([&](Split split) {
      const auto& texts = forms(split);
      return std::vector<std::string>(texts.begin(), texts.end());
    });
  }
}

TEST_CASE("A statement holds its answer once, the question not, and both the same subject",
          "[questions]") {
  for (const FactKind kind : kKinds) {
    for (const Split split : kSplits) {
      for (const FactTemplate& form : templates_of(kind, split)) {
        const std::string &statement = form.statement, &question = form.question;
        INFO(statement);
        const size_t answer = statement.find("{a}");
        REQUIRE(answer != std::string::npos);
        CHECK(statement.find("{a}", answer + 1) == std::string::npos);
        CHECK((question + form.prefix).find("{a}") == std::string::npos);
        bool has_subject = false;
        for (const std::string slot : {"{p}", "{n}", "{j}", "{c}"}) {
          if (question.find(slot) == std::string::npos) continue;
          has_subject = true;
          CHECK(statement.find(slot) != std::string::npos);
        }
        CHECK(has_subject);
        CHECK(question.back() == '?');
      }
    }
  }
}

TEST_CASE("A paraphrase shares no content word with its fact", "[questions]") {
  for (const Split split : kSplits) {
    for (const FactTemplate& form : templates_of(FactKind::kParaphrase, split)) {
      std::set<std::string> stated;
      for (const std::string& word : content_words(form.statement)) stated.insert(stem(word));
      for (const std::string& text : {form.question, form.prefix}) {
        for (const std::string& word : content_words(text)) {
          INFO(form.statement << " / " << text << ": " << word);
          CHECK_FALSE(stated.contains(stem(word)));
        }
      }
    }
  }
}

TEST_CASE("Training has many templates, and every statement of them differs", "[questions]") {
  for (const FactKind kind : {FactKind::kDigits, FactKind::kWords, FactKind::kNames}) {
    const auto& forms = templates_of(kind, Split::kTrain);
    CHECK(forms.size() > 900);
    std::set<std::string> statements;
    for (const FactTemplate& form : forms) {
      INFO(form.statement << " / " << form.question << " / " << form.prefix);
      statements.insert(form.statement);
      for (const char* const slot : {"{x}", "{w}", "{W}", "{do", "  "})
        CHECK((form.statement + form.question + form.prefix).find(slot) == std::string::npos);
    }
    CHECK(statements.size() == forms.size());
  }
}
