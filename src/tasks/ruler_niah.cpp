#include "tasks/ruler_niah.h"

#include <numeric>
#include <set>

#include "questions/facts.h"

namespace lococo {
namespace {

constexpr int64_t kDigits = 7;
constexpr int64_t kNewTokens = 128;
constexpr double kChance = 1.0 / 9000000;
constexpr int kDepths = 40;

struct Counts {
  size_t keys, values, asked;
};

Counts counts_of(const std::string& kind) {
  if (kind == "niah_multikey_1") return {4, 1, 1};
  if (kind == "niah_multivalue") return {1, 4, 1};
  if (kind == "niah_multiquery") return {4, 1, 4};
  return {1, 1, 1};
}

template <typename Draw>
std::vector<std::string> different(size_t count, const Draw& draw) {
  std::vector<std::string> texts;
  std::set<std::string> seen;
  while (texts.size() < count) {
    std::string text = draw();
    if (seen.insert(text).second) texts.push_back(std::move(text));
  }
  return texts;
}

// "a", "a, and b", "a, b, and c": as RULER joins keys.
std::string enumerated(const std::vector<std::string>& texts) {
  std::string out = texts[0];
  for (size_t i = 1; i < texts.size(); ++i) {
    out += (i + 1 == texts.size() ? ", and " : ", ") + texts[i];
  }
  return out;
}

std::vector<double> depths_of(size_t count, bool in_texts, Draws* draws) {
  std::vector<double> depths;
  if (in_texts) {
    std::vector<int> steps(kDepths);
    std::iota(steps.begin(), steps.end(), 0);
    for (const int step : draws->sample(steps, count)) {
      depths.push_back(static_cast<double>(step) / (kDepths - 1));
    }
  } else {
    for (size_t i = 0; i < count; ++i) depths.push_back(draws->uniform());
  }
  return depths;
}

}  // namespace

void make_niah(Split split, Draws* draws, PromptFitter* fitter, TaskSample* sample) {
  const Counts counts = counts_of(sample->kind);
  const auto keys = different(counts.keys, [&] {
    return draws->pick(words_of(WordList::kAdjectives, split)) + "-" +
           draws->pick(words_of(WordList::kNouns, split));
  });
  const auto values =
      different(counts.keys * counts.values, [&] { return draw_number(kDigits, draws); });
  PromptText text;
  const auto depths = depths_of(values.size(), !fitter->hay().repeats(), draws);
  for (size_t v = 0; v < values.size(); ++v) {
    text.inserts.push_back(
        {"A special magic number of " + keys[v / counts.values] + " is: " + values[v] + ".",
         depths[v]});
  }
  const std::vector<std::string> asked(keys.begin(),
                                       keys.begin() + static_cast<std::ptrdiff_t>(counts.asked));
  sample->answers.assign(
      values.begin(), values.begin() + static_cast<std::ptrdiff_t>(counts.asked * counts.values));
  const std::string of = " of " + enumerated(asked);
  if (sample->answers.size() == 1) {
    text.before =
        "A special magic number is hidden in the text below. Memorize it, for I will ask "
        "you for the number afterwards.\n";
    text.question = "What is the special magic number" + of + " that the text above mentions?";
    text.answer_prefix = "The special magic number" + of + " that the text above mentions is";
  } else {
    text.before =
        "Some special magic numbers are hidden in the text below. Memorize them, for I "
        "will ask you for the numbers afterwards.\n";
    text.question =
        "What are all the special magic numbers" + of + " that the text above mentions?";
    text.answer_prefix = "The special magic numbers" + of + " that the text above mentions are";
  }
  FittedPrompt fitted = fitter->fit(text, sample->length, draws->next());
  sample->context_ids = std::move(fitted.ids.context);
  sample->question_ids = std::move(fitted.ids.question);
  if (sample->answers.size() == 1) sample->fact_end = fitted.fact_ends[0];
  sample->max_new_tokens = kNewTokens;
  sample->chance = kChance;
  std::vector<std::string> guesses(sample->answers.size());
  for (std::string& guess : guesses) guess = draw_number(kDigits, draws);
  sample->guess = joined(guesses, ", ");
}

}  // namespace lococo
