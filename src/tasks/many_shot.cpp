#include "tasks/many_shot.h"

#include <algorithm>
#include <iterator>
#include <numeric>
#include <optional>

#include "core/error.h"
#include "questions/draws.h"
#include "questions/prompt_fitter.h"
#include "tasks/least_length.h"
#include "tasks/record_file.h"

namespace lococo {
namespace {

constexpr size_t kMostLabels = 50;
constexpr size_t kBuiltInClasses = 8;
// Labels that say nothing about what they are given to.
constexpr const char* kLabels[kBuiltInClasses] = {"alpha",   "beta", "gamma", "delta",
                                                  "epsilon", "zeta", "theta", "kappa"};
constexpr const char* kAnswerPrefix = "Label:";

std::string question_of(const std::string& text) { return "Text: " + text; }

// Eight categories in random order, each with the next label.
std::vector<LabelledClass> draw_classes(Split split, Draws* draws) {
  const auto& nouns = words_of(WordList::kNouns, split);
  std::vector<LabelledClass> classes;
  for (const Category& category : draws->sample(noun_categories(), kBuiltInClasses)) {
    LabelledClass labelled{kLabels[classes.size()], category.words, {}};
    for (const std::string& word : category.words) {
      if (std::find(nouns.begin(), nouns.end(), word) != nouns.end()) {
        labelled.asked.push_back(word);
      }
    }
    classes.push_back(std::move(labelled));
  }
  return classes;
}

// The texts of a class in random order, again and again.
class Deck {
 public:
  Deck(std::vector<std::string> texts, uint64_t seed) : texts_(std::move(texts)), draws_(seed) {}
  const std::string& next() {
    if (at_ % texts_.size() == 0) draws_.shuffle(texts_);
    return texts_[at_++ % texts_.size()];
  }
  const std::vector<std::string>& texts() const { return texts_; }

 private:
  std::vector<std::string> texts_;
  Draws draws_;
  size_t at_ = 0;
};

// The prompt that asks for one text, with any number of examples.
class ShotPrompt {
 public:
  ShotPrompt(const std::vector<LabelledClass>& classes, const std::string& asked, uint64_t seed,
             const PromptForm& form)
      : classes_(classes), asked_(asked), draws_(hash_u64(seed, 0)), form_(form) {
    for (size_t c = 0; c < classes.size(); ++c) {
      std::vector<std::string> texts = classes[c].texts;
      std::erase(texts, asked);
      decks_.emplace_back(std::move(texts), hash_u64(seed, c + 1));
    }
  }

  /// At most `length` tokens; nothing when not even a round of examples fits.
  std::optional<PromptIds> fit(int64_t length) {
    size_t fits = classes_.size(), above = static_cast<size_t>(length);
    if (ids(fits).size() > length) return {};
    while (fits + 1 < above) {
      const size_t middle = fits + (above - fits) / 2;
      (ids(middle).size() <= length ? fits : above) = middle;
    }
    return exchanged(fits, length);
  }

 private:
  struct Shot {
    size_t of_class = 0;
    std::string text;
  };

  // Shots are numbered from the question backwards: more of them are further from it.
  PromptIds ids(size_t count) {
    while (shots_.size() < count) add_round();
    std::string text = "Each of the following texts has a label.\n";
    for (size_t s = count; s > 0; --s) {
      const Shot& shot = shots_[s - 1];
      text +=
          question_of(shot.text) + " " + kAnswerPrefix + " " + classes_[shot.of_class].label + "\n";
    }
    return form_.ids(text, question_of(asked_), kAnswerPrefix);
  }

  void add_round() {
    std::vector<size_t> order(classes_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    draws_.shuffle(order);
    for (const size_t c : order) shots_.push_back({c, decks_[c].next()});
  }

  int64_t cost(const std::string& text) const {
    return static_cast<int64_t>(form_.tokenizer().encode_ordinary(question_of(text)).size());
  }

  // Exchanges texts of examples, the furthest first, for longer ones of their class until the
  // prompt is full.
  PromptIds exchanged(size_t count, int64_t length) {
    PromptIds best = ids(count);
    const std::vector<Shot> as_drawn = shots_;
    int64_t gap = length - best.size();
    for (size_t s = count; s > 0 && gap > 0; --s) {
      Shot& shot = shots_[s - 1];
      const int64_t before = cost(shot.text);
      for (const std::string& other : decks_[shot.of_class].texts()) {
        const int64_t gain = cost(other) - before;
        if (gain <= 0 || gain > gap) continue;
        shot.text = other;
        gap -= gain;
        break;
      }
    }
    PromptIds fuller = ids(count);
    if (fuller.size() <= length && fuller.size() >= best.size()) return fuller;
    shots_ = as_drawn;
    return best;
  }

  const std::vector<LabelledClass>& classes_;
  std::string asked_;
  Draws draws_;
  const PromptForm& form_;
  std::vector<Deck> decks_;
  std::vector<Shot> shots_;
};

}  // namespace

std::vector<LabelledClass> read_labelled_file(const std::string& path) {
  std::vector<LabelledClass> classes;
  for_each_record(path, "eval.questions", [&](const Record& record) {
    const std::string text = record.text("text"), label = record.text("label");
    const auto has_label = [&](const LabelledClass& c) { return c.label == label; };
    auto it = std::find_if(classes.begin(), classes.end(), has_label);
    if (it == classes.end()) it = classes.insert(it, {label, {}, {}});
    auto& texts = it->texts;
    if (std::find(texts.begin(), texts.end(), text) == texts.end()) texts.push_back(text);
  });
  if (classes.size() < 2 || classes.size() > kMostLabels) {
    throw UserError(path + ": has " + std::to_string(classes.size()) +
                    " different labels; from 2 to " + std::to_string(kMostLabels) + " can be told");
  }
  for (LabelledClass& labelled : classes) {
    if (labelled.texts.size() < 2) {
      throw UserError(path + ": the label '" + labelled.label +
                      "' has a single text; it needs one for the examples and one to ask for");
    }
    labelled.asked = labelled.texts;
  }
  return classes;
}

ManyShotSource::ManyShotSource(const EvalTaskConfig& task, const std::vector<int64_t>& lengths,
                               const PromptForm& form)
    : seed_(task.seed),
      grid_(task, lengths, {}, /*with_depths=*/false),
      form_(form),
      split_(task.split) {
  if (!task.questions.empty()) classes_ = read_labelled_file(task.questions);
}

TaskSample ManyShotSource::sample(int64_t index) {
  return with_room("many_shot", grid_.sample(index), grid_.trials(),
                   [&](TaskSample cell) { return made(std::move(cell)); });
}

TaskSample ManyShotSource::made(TaskSample sample) const {
  sample.scoring = Scoring::kChoice;
  const auto trial = static_cast<uint64_t>(sample.trial);
  const uint64_t drawn = hash_u64(seed_, trial, hash_of_text(sample.task));
  Draws draws(drawn);
  const auto classes = classes_.empty() ? draw_classes(split_, &draws) : classes_;

  // Each label in turn, in another order each time.
  std::vector<int64_t> order(classes.size());
  std::iota(order.begin(), order.end(), 0);
  Draws(hash_u64(seed_, trial / classes.size(), hash_of_text("labels"))).shuffle(order);
  sample.correct = order[trial % classes.size()];
  const std::string asked = draws.pick(classes[static_cast<size_t>(sample.correct)].asked);

  auto ids = ShotPrompt(classes, asked, drawn, form_).fit(sample.length);
  if (!ids) {
    throw NoRoom("a prompt of " + std::to_string(sample.length) +
                 " tokens has no room for an example of each label");
  }
  sample.context_ids = std::move(ids->context);
  sample.question_ids = std::move(ids->question);
  for (const LabelledClass& labelled : classes) {
    sample.options.push_back(labelled.label);
    sample.option_ids.push_back(form_.answer_ids(kAnswerPrefix, labelled.label));
  }
  sample.guess_option = static_cast<int64_t>(draws.below(classes.size()));
  sample.guess = sample.options[static_cast<size_t>(sample.guess_option)];
  sample.chance = 1.0 / static_cast<double>(classes.size());
  return sample;
}

}  // namespace lococo
