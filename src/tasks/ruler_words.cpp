#include "tasks/ruler_words.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>

#include "core/error.h"
#include "questions/facts.h"
#include "questions/prompt_fitter.h"

namespace lococo {
namespace {

using Words = std::vector<std::string>;

constexpr int64_t kFullCounts = 4096;  // tokens from which RULER's counts hold
constexpr size_t kCommon = 10;
// Other words that the full counts need; RULER's own prompts of 4,096 tokens have twice as many.
constexpr size_t kFewestOthers = 100;
constexpr int64_t kCommonNewTokens = 120, kFrequentNewTokens = 50;
constexpr size_t kAsked = 3;
constexpr size_t kCodedLetters = 6;
constexpr int64_t kTokensPerCodedWord = 50;

[[noreturn]] void refuse_length(const TaskSample& sample) {
  throw NoRoom("a prompt of " + std::to_string(sample.length) + " tokens is too short for " +
               sample.kind);
}

std::string numbered(const Words& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    text += (i == 0 ? "" : " ") + std::to_string(i + 1) + ". " + words[i];
  }
  return text;
}

struct Repeats {
  size_t common, others;
};

// All words of the list in the order drawn: as many of `others` as make `size` entries, the last
// one cut short.
Words word_list(const Words& common, const Words& others, Repeats repeats, size_t size) {
  Words list;
  for (const std::string& word : common) list.insert(list.end(), repeats.common, word);
  for (size_t o = 0; list.size() < size; ++o) {
    const size_t times = std::min(repeats.others, size - list.size());
    list.insert(list.end(), times, others.at(o));
  }
  return list;
}

Words shuffled(Words list, uint64_t seed) {
  Draws draws(seed);
  draws.shuffle(list);
  return list;
}

// Different words in random order, at least `count`: nouns, or else pairs.
Words draw_words(Split split, size_t count, Draws* draws) {
  Words words = words_of(WordList::kNouns, split);
  if (words.size() < count) {
    Words pairs;
    for (const std::string& adjective : words_of(WordList::kAdjectives, split)) {
      for (const std::string& noun : words) pairs.push_back(adjective + "-" + noun);
    }
    words = std::move(pairs);
  }
  draws->shuffle(words);
  return words;
}

constexpr const char* kBefore =
    "Below is a numbered list of words, some of which occur more often than others. Memorize the "
    "words that occur most often.\n";
constexpr const char* kQuestion = "Question: Which 10 words occur most often in the list above?";
constexpr const char* kPrefix = "Answer: The 10 words that occur most often in the list are:";

std::string example_of(const Words& words, bool full, uint64_t seed) {
  const size_t distinct = full ? 40 : 20;
  const Repeats repeats = full ? Repeats{10, 3} : Repeats{3, 1};
  const auto common_end = words.begin() + static_cast<std::ptrdiff_t>(kCommon);
  const Words common(words.begin(), common_end);
  const Words others(common_end, words.begin() + static_cast<std::ptrdiff_t>(distinct));
  const size_t size = kCommon * repeats.common + others.size() * repeats.others;
  return kBefore + numbered(shuffled(word_list(common, others, repeats, size), seed)) + "\n" +
         kQuestion + " " + kPrefix + " " + numbered(common) + "\n";
}

// One list of common words at all sizes.
class CommonWords {
 public:
  CommonWords(const Words& words, const std::string& before, bool full, uint64_t seed,
              const PromptForm& form)
      : common_(words.begin(), words.begin() + static_cast<std::ptrdiff_t>(kCommon)),
        others_(words.begin() + static_cast<std::ptrdiff_t>(kCommon), words.end()),
        repeats_(full ? Repeats{30, 3} : Repeats{6, 1}),
        before_(before),
        seed_(seed),
        form_(&form) {}

  PromptIds ids(size_t size) const {
    const Words list = shuffled(word_list(common_, others_, repeats_, size), seed_);
    return form_->ids(before_ + numbered(list) + "\n", kQuestion, kPrefix);
  }
  size_t smallest() const { return kCommon * repeats_.common + repeats_.others; }
  size_t largest() const { return kCommon * repeats_.common + others_.size() * repeats_.others; }
  size_t num_others(size_t size) const {
    const size_t entries = size - kCommon * repeats_.common;
    return (entries + repeats_.others - 1) / repeats_.others;
  }
  // How often the o-th of the others stands in a list.
  int64_t times_of(size_t o, size_t size) const {
    const size_t before = kCommon * repeats_.common + o * repeats_.others;
    return static_cast<int64_t>(std::min(repeats_.others, size - before));
  }
  Words distinct(size_t size) const {
    Words words = common_;
    const auto used = static_cast<std::ptrdiff_t>(num_others(size));
    words.insert(words.end(), others_.begin(), others_.begin() + used);
    return words;
  }
  Words& others() { return others_; }
  const Words& common() const { return common_; }

 private:
  Words common_, others_;
  Repeats repeats_;
  std::string before_;
  uint64_t seed_;
  const PromptForm* form_;
};

// Nouns where they are enough for the prompt, else pairs.
CommonWords longest_list(Split split, bool full, int64_t length, uint64_t seed,
                         const PromptForm& form) {
  const size_t example_words = full ? 40 : 20;
  const auto list_of = [&](const Words& words) {
    const Words rest(words.begin() + static_cast<std::ptrdiff_t>(example_words), words.end());
    const std::string before = example_of(words, full, hash_u64(seed, 0)) + kBefore;
    return CommonWords(rest, before, full, hash_u64(seed, 1), form);
  };
  Draws draws(hash_u64(seed, 2));
  const Words nouns = draw_words(split, example_words + kCommon + 1, &draws);
  CommonWords list = list_of(nouns);
  if (list.ids(list.largest()).size() > length) return list;
  return list_of(draw_words(split, nouns.size() + 1, &draws));
}

// The most entries with which the prompt has at most `length` tokens; 0: none has.
size_t most_entries(const CommonWords& list, int64_t length) {
  if (list.ids(list.smallest()).size() > length) return 0;
  size_t fits = list.smallest(), above = list.largest() + 1;
  while (fits + 1 < above) {
    const size_t middle = fits + (above - fits) / 2;
    (list.ids(middle).size() <= length ? fits : above) = middle;
  }
  return fits;
}

// Exchanges words of the list, the last first, for longer ones that are not in it until the prompt
// is full.
PromptIds filled_up(CommonWords* list, size_t size, int64_t length, TokenCosts* costs) {
  PromptIds best = list->ids(size);
  int64_t gap = length - best.size();
  Words& others = list->others();
  const Words as_drawn = others;
  const size_t used = list->num_others(size);
  for (size_t p = used; p > 0 && gap > 0; --p) {
    for (size_t o = used; o < others.size(); ++o) {
      const int64_t gain =
          (costs->word(others[o]) - costs->word(others[p - 1])) * list->times_of(p - 1, size);
      if (gain <= 0 || gain > gap) continue;
      std::swap(others[p - 1], others[o]);
      gap -= gain;
      break;
    }
  }
  PromptIds fuller = list->ids(size);
  if (fuller.size() <= length && fuller.size() >= best.size()) return fuller;
  others = as_drawn;
  return best;
}

std::string coded_word(Draws* draws) {
  std::string word;
  while (word.size() < kCodedLetters) word += static_cast<char>('a' + draws->below(26));
  return word;
}

}  // namespace

void make_common_words(Split split, const PromptForm& form, TokenCosts* costs, Draws* draws,
                       TaskSample* sample) {
  const uint64_t seed = draws->next();
  const int64_t length = sample->length;
  bool full = length >= kFullCounts;
  CommonWords list = longest_list(split, full, length, seed, form);
  size_t size = most_entries(list, length);
  if (full && (size == 0 || list.num_others(size) < kFewestOthers)) {
    full = false;
    list = longest_list(split, full, length, seed, form);
    size = most_entries(list, length);
  }
  if (size == 0) refuse_length(*sample);
  if (size == list.largest()) {
    throw UserError("cwe has too few different words for a prompt of " + std::to_string(length) +
                    " tokens; give shorter eval.lengths");
  }
  PromptIds ids = filled_up(&list, size, length, costs);
  // A shorter list leaves more to fill, and may end with a word that stands less often.
  for (size_t less = 1; less <= 2 && ids.size() < length && size - less >= list.smallest();
       ++less) {
    CommonWords shorter = list;
    PromptIds fuller = filled_up(&shorter, size - less, length, costs);
    if (fuller.size() <= ids.size()) continue;
    ids = std::move(fuller);
    list = std::move(shorter);
    size -= less;
  }
  sample->context_ids = std::move(ids.context);
  sample->question_ids = std::move(ids.question);
  sample->answers = list.common();
  sample->max_new_tokens = kCommonNewTokens;
  const Words there = list.distinct(size);
  sample->guess = numbered(draws->sample(there, kCommon));
  sample->chance = static_cast<double>(kCommon) / static_cast<double>(there.size());
}

void make_frequent_words(const PromptForm& form, Draws* draws, TaskSample* sample) {
  constexpr double kZeta2 = std::numbers::pi * std::numbers::pi / 6.0;
  const auto vocabulary = static_cast<size_t>(sample->length / kTokensPerCodedWord);
  Words coded;
  while (coded.size() < vocabulary) {
    const std::string word = coded_word(draws);
    if (std::find(coded.begin(), coded.end(), word) == coded.end()) coded.push_back(word);
  }
  if (coded.size() <= kAsked) refuse_length(*sample);
  coded[0] = "...";
  const uint64_t order = draws->next();
  const auto times = [&](size_t num_words, size_t rank) {
    const double k = static_cast<double>(rank + 1);
    return static_cast<size_t>(static_cast<double>(num_words) / (k * k) / kZeta2);
  };
  const auto ids_of = [&](size_t num_words, size_t more_dots) {
    Words text(more_dots, coded[0]);
    for (size_t k = 0; k < coded.size(); ++k) {
      text.insert(text.end(), times(num_words, k), coded[k]);
    }
    return form.ids(
        "Read the coded text below and keep count of each coded word. Find the three "
        "coded words that occur most often. " +
            joined(shuffled(std::move(text), order), " ") + "\n",
        "Question: Explain nothing and ignore the dots '....'. Which three words occur "
        "most often in the coded text above?",
        "Answer: In the coded text above the three words that occur most often are:");
  };
  // Enough words that the asked ones differ in how often they occur.
  constexpr size_t kFewestWords = 100;
  if (ids_of(kFewestWords, 0).size() > sample->length) refuse_length(*sample);
  size_t fits = kFewestWords, above = static_cast<size_t>(sample->length) + 1;
  while (fits + 1 < above) {
    const size_t middle = fits + (above - fits) / 2;
    (ids_of(middle, 0).size() <= sample->length ? fits : above) = middle;
  }
  PromptIds ids = ids_of(fits, 0);
  for (size_t dots = 1; ids.size() < sample->length; ++dots) {
    PromptIds more = ids_of(fits, dots);
    if (more.size() > sample->length) break;
    ids = std::move(more);
  }
  sample->context_ids = std::move(ids.context);
  sample->question_ids = std::move(ids.question);
  sample->answers.assign(coded.begin() + 1, coded.begin() + 1 + kAsked);
  sample->max_new_tokens = kFrequentNewTokens;
  Words there;
  for (size_t k = 1; k < coded.size() && times(fits, k) > 0; ++k) there.push_back(coded[k]);
  sample->guess = joined(draws->sample(there, kAsked), ", ");
  sample->chance = static_cast<double>(kAsked) / static_cast<double>(there.size());
}

}  // namespace lococo
