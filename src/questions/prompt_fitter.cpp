#include "questions/prompt_fitter.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>

#include "core/error.h"
#include "questions/sentences.h"

namespace lococo {
namespace {

// Sentences that the hay may end later than it has to, in search of a length that fits exactly.
constexpr int kEndsTried = 24;
constexpr int kRounds = 8;

size_t as_index(int64_t i) { return static_cast<size_t>(i); }

/// Where `most` of the hay's tokens may stand in front of a fact that is to have `target` there:
/// sentences are whole, so a percent of the hay does not matter.
void check_asked_depth(double depth, int64_t target, int64_t most, int64_t hay) {
  constexpr int64_t kPercent = 100;
  if (target - most <= hay / kPercent) return;
  throw UserError("eval.depths: " + std::to_string(std::llround(kPercent * depth)) +
                  " percent of " + std::to_string(hay) +
                  " tokens of text do not leave the eval.distance to the question; use depths up "
                  "to " +
                  std::to_string(kPercent * most / hay) +
                  ", a shorter distance or longer eval.lengths");
}

}  // namespace

// Words of consecutive units from a drawn start on.
struct PromptFitter::Stretch {
  int64_t first_unit = 0;
  std::vector<int64_t> tokens = {0};      // of the words before a word: one entry more than words
  std::vector<int64_t> unit_begin = {0};  // first word of each unit, and the number of words
  std::vector<size_t> offset;             // of a word in its unit's text
  std::vector<int64_t> separator;         // what the blanks behind a unit add to a plain one

  int64_t num_units() const { return static_cast<int64_t>(unit_begin.size()) - 1; }
  int64_t tokens_to(int64_t unit) const { return tokens[as_index(unit_begin[as_index(unit)])]; }
  int64_t unit_of(int64_t word) const {
    return std::upper_bound(unit_begin.begin(), unit_begin.end(), word) - unit_begin.begin() - 1;
  }
  // tokens_to() without what stands behind the last unit.
  int64_t tokens_to_end(int64_t unit) const {
    return tokens_to(unit) - (unit == 0 ? 0 : separator[as_index(unit - 1)]);
  }
};

// The hay of a prompt: words [first_word, first word of end_unit).
struct PromptFitter::Trim {
  int64_t first_word = 0, end_unit = 0;
  int64_t tokens = 0;
};

struct PromptFitter::Assembled {
  std::string context;
  std::vector<size_t> insert_ends;  // bytes of the context
};

PromptFitter::PromptFitter(const Hay& hay, const PromptForm& form)
    : hay_(hay), form_(form), costs_(form.tokenizer()) {}

// Appends units until they cost `budget` tokens, and a few more.
void PromptFitter::extend(Stretch* stretch, int64_t budget) {
  const auto enough = [&] {
    const int64_t units = stretch->num_units() - kEndsTried - kRounds;
    return units >= 0 && stretch->tokens_to(units) >= budget;
  };
  while (!enough() && (hay_.repeats() || stretch->num_units() < hay_.num_units())) {
    const Hay::Unit& unit = hay_.unit(stretch->first_unit + stretch->num_units());
    const std::string_view text = unit.text;
    for (size_t begin = 0; begin < text.size();) {
      size_t end = begin;
      while (end < text.size() && !is_blank(text[end])) ++end;
      size_t next = end;
      while (next < text.size() && is_blank(text[next])) ++next;
      const auto separator = end == text.size() ? unit.separator : text.substr(end, next - end);
      const int64_t cost =
          costs_.word(text.substr(begin, end - begin)) + costs_.separator(separator);
      stretch->tokens.push_back(stretch->tokens.back() + cost);
      stretch->offset.push_back(begin);
      begin = next;
    }
    stretch->unit_begin.push_back(static_cast<int64_t>(stretch->offset.size()));
    stretch->separator.push_back(costs_.separator(unit.separator));
  }
}

// Words of exactly `budget` tokens by the estimate, or the most below it; they end `later`
// sentences after the first possible one, where there are as many.
PromptFitter::Trim PromptFitter::choose_trim(Stretch* stretch, int64_t budget, int64_t later) {
  extend(stretch, budget);
  if (stretch->tokens_to_end(stretch->num_units()) < budget) {
    throw UserError("the texts are too short for a prompt with " + std::to_string(budget) +
                    " tokens of them: all together have about " +
                    std::to_string(stretch->tokens.back()) +
                    "; give more text (data.validation) or shorter eval.lengths");
  }
  int64_t end = 0;
  while (stretch->tokens_to_end(end) < budget) ++end;
  end = std::min(end + later, stretch->num_units());
  Trim best;
  for (int tried = 0; tried < kEndsTried && end <= stretch->num_units(); ++tried, ++end) {
    const int64_t drop = stretch->tokens_to_end(end) - budget;
    const auto first = std::lower_bound(stretch->tokens.begin(), stretch->tokens.end(), drop);
    const int64_t tokens = stretch->tokens_to_end(end) - *first;
    if (tried == 0 || tokens > best.tokens) {
      best = {first - stretch->tokens.begin(), end, tokens};
    }
    if (best.tokens == budget) break;
  }
  return best;
}

int64_t PromptFitter::place_of(const Insert& insert, const Stretch& stretch, const Trim& trim,
                               int64_t distance) const {
  const int64_t first_unit = stretch.unit_of(trim.first_word);
  const int64_t start_tokens = stretch.tokens[as_index(trim.first_word)];
  const auto tokens_before = [&](int64_t unit) {
    if (unit == trim.end_unit) return trim.tokens;
    return unit == first_unit ? 0 : stretch.tokens_to(unit) - start_tokens;
  };
  const int64_t most = insert.is_fact ? std::max<int64_t>(trim.tokens - distance, 0) : trim.tokens;
  const int64_t whole = insert.is_asked_depth ? trim.tokens : most;
  const auto target = static_cast<int64_t>(std::llround(insert.depth * static_cast<double>(whole)));
  if (insert.is_asked_depth) check_asked_depth(insert.depth, target, most, trim.tokens);
  int64_t best = first_unit;
  for (int64_t unit = first_unit + 1; unit <= trim.end_unit && tokens_before(unit) <= most;
       ++unit) {
    if (unit < trim.end_unit && !hay_.may_insert_behind(stretch.first_unit + unit - 1)) continue;
    if (std::abs(tokens_before(unit) - target) < std::abs(tokens_before(best) - target)) {
      best = unit;
    }
  }
  return best;
}

PromptFitter::Assembled PromptFitter::assemble(const PromptText& text, const Stretch& stretch,
                                               const Trim& trim, int64_t distance) const {
  std::vector<std::pair<int64_t, size_t>> places;  // (unit before which it stands, insert)
  for (size_t i = 0; i < text.inserts.size(); ++i) {
    places.emplace_back(place_of(text.inserts[i], stretch, trim, distance), i);
  }
  std::stable_sort(places.begin(), places.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });

  Assembled out{text.before, std::vector<size_t>(text.inserts.size())};
  const std::string_view between = hay_.insert_separator();
  auto place = places.begin();
  const auto put_inserts = [&](int64_t unit) {
    for (; place != places.end() && place->first == unit; ++place) {
      out.context += text.inserts[place->second].text;
      out.insert_ends[place->second] = out.context.size();
      if (unit < trim.end_unit || place + 1 != places.end()) out.context += between;
    }
  };
  const auto words_there = static_cast<int64_t>(stretch.offset.size());
  size_t cut = trim.first_word < words_there ? stretch.offset[as_index(trim.first_word)] : 0;
  for (int64_t unit = stretch.unit_of(trim.first_word); unit < trim.end_unit; ++unit) {
    put_inserts(unit);
    const Hay::Unit& words = hay_.unit(stretch.first_unit + unit);
    out.context += words.text.substr(cut);
    cut = 0;
    if (unit + 1 < trim.end_unit) {
      out.context += words.separator;
    } else if (place != places.end()) {
      out.context += between;
    }
  }
  put_inserts(trim.end_unit);
  out.context += text.after;
  return out;
}

std::vector<int64_t> PromptFitter::fact_ends(const PromptText& text,
                                             const Assembled& assembled) const {
  std::vector<int64_t> ends;
  for (size_t i = 0; i < text.inserts.size(); ++i) {
    if (!text.inserts[i].is_fact) continue;
    const auto ids = form_.ids(assembled.context.substr(0, assembled.insert_ends[i]), "", "");
    ends.push_back(static_cast<int64_t>(ids.context.size()));
  }
  return ends;
}

FittedPrompt PromptFitter::fit_once(const PromptText& text, int64_t length, int64_t distance,
                                    Stretch* stretch) {
  const auto encoded = [&](const Assembled& assembled) {
    return form_.ids(assembled.context, text.question, text.answer_prefix);
  };
  const int64_t bare = encoded(assemble(text, *stretch, {}, 0)).size();
  if (length - bare < std::max<int64_t>(distance, 1)) {
    throw NoRoom("eval.lengths: a prompt of " + std::to_string(length) +
                 " tokens has no room: its own sentences take " + std::to_string(bare) +
                 ", the distance to the question " + std::to_string(distance) +
                 "; give longer eval.lengths or ask for less");
  }
  int64_t budget = length - bare;
  std::optional<PromptIds> best;
  Assembled best_text;
  for (int round = 0; !best || round < kRounds; ++round) {
    Assembled assembled = assemble(text, *stretch, choose_trim(stretch, budget, round), distance);
    PromptIds ids = encoded(assembled);
    const int64_t off = length - ids.size();
    if (off >= 0 && (!best || ids.size() > best->size())) {
      best = std::move(ids);
      best_text = std::move(assembled);
    }
    if (off == 0) break;
    // The estimate was wrong by `off`, mostly for the first word, which the next round changes.
    // After some rounds only less hay is sure to end.
    budget = std::max<int64_t>(round < kRounds ? budget + off : budget + off - 1, 0);
  }
  FittedPrompt fitted{std::move(*best), best_text.context, {}};
  fitted.fact_ends = fact_ends(text, best_text);
  return fitted;
}

FittedPrompt PromptFitter::fit(const PromptText& text, int64_t length, uint64_t place) {
  Stretch stretch;
  stretch.first_unit = hay_.draw_start(place, length);
  for (int64_t distance = text.min_distance;;) {
    FittedPrompt fitted = fit_once(text, length, distance, &stretch);
    const auto last = std::max_element(fitted.fact_ends.begin(), fitted.fact_ends.end());
    const int64_t read = static_cast<int64_t>(fitted.ids.context.size());
    const int64_t lacking = last == fitted.fact_ends.end() ? 0 : text.min_distance - (read - *last);
    if (lacking <= 0) return fitted;
    distance += lacking;
  }
}

}  // namespace lococo
