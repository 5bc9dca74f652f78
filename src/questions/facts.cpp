#include "questions/facts.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "core/error.h"

namespace lococo {
namespace {

// Draws before we give up on something that was not there yet.
constexpr int kMostDraws = 10000;
constexpr const char* kNoMore =
    "there are no more different facts or numbers of this kind; ask for fewer (eval.distractors)";

const char* category_of(AnswerKind kind) {
  switch (kind) {
    case AnswerKind::kAnimal:
      return "animal";
    case AnswerKind::kTool:
      return "tool";
    case AnswerKind::kFood:
      return "food";
    case AnswerKind::kInstrument:
      return "instrument";
    case AnswerKind::kVehicle:
      return "vehicle";
    case AnswerKind::kOccupation:
      return "occupation";
    default:
      throw std::logic_error("an answer without a category");
  }
}

// The words of a category that belong to the split.
std::vector<std::string> category_words(const std::string& name, Split split) {
  const auto& nouns = words_of(WordList::kNouns, split);
  for (const Category& category : noun_categories()) {
    if (category.name != name) continue;
    std::vector<std::string> words;
    for (const std::string& word : category.words) {
      if (std::find(nouns.begin(), nouns.end(), word) != nouns.end()) words.push_back(word);
    }
    return words;
  }
  throw std::logic_error("no such category of nouns");
}

}  // namespace

std::string draw_number(int64_t count, Draws* draws) {
  std::string number(1, static_cast<char>('1' + draws->below(9)));
  while (static_cast<int64_t>(number.size()) < count) {
    number += static_cast<char>('0' + draws->below(10));
  }
  return number;
}

std::string filled(const std::string& form, const std::string& slot, const std::string& value) {
  std::string out;
  size_t at = 0;
  for (size_t next; (next = form.find(slot, at)) != std::string::npos; at = next + slot.size()) {
    out.append(form, at, next - at).append(value);
  }
  return out.append(form, at);
}

std::string joined(const std::vector<std::string>& texts, const std::string& between) {
  std::string out;
  for (size_t i = 0; i < texts.size(); ++i) out += (i == 0 ? "" : between) + texts[i];
  return out;
}

FactMaker::FactMaker(FactKind kind, Split split, int64_t digits, std::vector<std::string> names,
                     Draws* draws)
    : kind_(kind), split_(split), digits_(digits), names_(std::move(names)), draws_(draws) {}

bool FactMaker::is_new(const std::string& text) {
  if (std::find(used_.begin(), used_.end(), text) != used_.end()) return false;
  used_.push_back(text);
  return true;
}

std::vector<std::string> FactMaker::answers_of(AnswerKind kind) const {
  switch (kind) {
    case AnswerKind::kNumber:
      return {};
    case AnswerKind::kNoun:
      return words_of(WordList::kNouns, split_);
    case AnswerKind::kNameInText:
      return names_;
    case AnswerKind::kFirstName:
      return words_of(WordList::kFirstNames, split_);
    case AnswerKind::kPlace:
      return words_of(WordList::kPlaces, split_);
    default:
      return category_words(category_of(kind), split_);
  }
}

Fact FactMaker::with_answer(Fact fact) {
  const std::vector<std::string> space = answers_of(fact.answer_kind);
  const auto draw = [&] {
    return fact.answer_kind == AnswerKind::kNumber ? draw_number(digits_, draws_)
                                                   : draws_->pick(space);
  };
  fact.answer = draw();
  for (int i = 0; !is_new(fact.answer); ++i) {
    if (i == kMostDraws) throw UserError(kNoMore);
    fact.answer = draw();
  }
  fact.guess = draw();
  const double numbers = 9.0 * std::pow(10.0, static_cast<double>(digits_ - 1));
  fact.chance = 1.0 / (space.empty() ? numbers : static_cast<double>(space.size()));
  fact.statement = filled(fact.open_statement, "{a}", fact.answer);
  return fact;
}

Fact FactMaker::fact() {
  for (int i = 0; i < kMostDraws; ++i) {
    const FactTemplate& form = draws_->pick(templates_of(kind_, split_));
    Fact fact;
    fact.open_statement = form.statement;
    fact.question = form.question;
    fact.answer_prefix = form.prefix;
    fact.answer_kind = form.answer;
    const auto fill = [&](const char* slot, const std::string& value) {
      for (std::string* text : {&fact.open_statement, &fact.question, &fact.answer_prefix}) {
        *text = filled(*text, slot, value);
      }
    };
    fill("{p}", draws_->pick(words_of(WordList::kFirstNames, split_)) + " " +
                    draws_->pick(words_of(WordList::kSurnames, split_)));
    fill("{n}", draws_->pick(words_of(WordList::kNouns, split_)));
    fill("{j}", draws_->pick(words_of(WordList::kAdjectives, split_)));
    fill("{c}", draws_->pick(words_of(WordList::kPlaces, split_)));
    if (is_new(fact.question)) return with_answer(std::move(fact));
  }
  throw UserError(kNoMore);
}

Fact FactMaker::rival(const Fact& fact) { return with_answer(fact); }

std::string FactMaker::number_sentence() {
  std::string number = draw_number(digits_, draws_);
  for (int i = 0; !is_new(number); ++i) {
    if (i == kMostDraws) throw UserError(kNoMore);
    number = draw_number(digits_, draws_);
  }
  std::string text = draws_->pick(number_sentences(split_));
  text = filled(text, "{n}", draws_->pick(words_of(WordList::kNouns, split_)));
  text = filled(text, "{c}", draws_->pick(words_of(WordList::kPlaces, split_)));
  return filled(text, "{a}", number);
}

}  // namespace lococo
