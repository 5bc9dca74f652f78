#include "questions/question_generator.h"

#include <algorithm>
#include <stdexcept>

#include "questions/names.h"

namespace lococo {
namespace {

// Streams of draws that do not disturb each other.
enum Stream : uint64_t { kFacts, kPlaces, kHay };

constexpr size_t kFewestNames = 16;
constexpr int64_t kWordsForNames = 20000;

void check(const QuestionOptions& options) {
  if (options.asked < 1 || options.asked > options.facts || options.min_distance < 0 ||
      options.distractors < 0 || options.digits < 1) {
    throw std::logic_error("a question needs facts, and no negative number");
  }
  if (options.contradicted && options.emphasis == Emphasis::kNone) {
    throw std::logic_error("of two facts that contradict each other one has to be emphasised");
  }
}

std::string emphasised(const std::string& statement, const QuestionOptions& options, Draws* draws) {
  if (options.emphasis == Emphasis::kNone) return statement;
  const auto& forms = options.emphasis == Emphasis::kImportant ? important_forms(options.split)
                                                               : repeated_forms(options.split);
  return filled(draws->pick(forms), "{s}", statement);
}

// What the question adds where the text contradicts itself.
std::string which_is_meant(const QuestionOptions& options) {
  if (!options.contradicted) return "";
  return options.emphasis == Emphasis::kImportant
             ? " The answer is what was said to be remembered, not what was said in passing."
             : " The answer is what was said twice, not what was said in passing.";
}

// Everything that is put into the hay; the facts come first, those asked before the others.
struct Material {
  std::vector<Fact> facts;
  std::vector<Insert> inserts;
};

// What is drawn before there is a text.
struct Drawn {
  uint64_t seed = 0, place = 0;
  std::vector<std::string> names;
};

// Names of the text around the place where the hay begins, whatever the prompt's length; those of
// the split where the text has too few.
std::vector<std::string> names_around(const QuestionOptions& options, const Hay& hay,
                                      uint64_t place) {
  auto names = names_in(hay.text_from(hay.draw_start(place, 0), kWordsForNames));
  const auto drawn = static_cast<size_t>(options.facts * 2 + options.distractors);
  if (names.size() >= kFewestNames + drawn) return names;
  return words_of(WordList::kFirstNames, options.split);
}

// `mentions`: names that are answers get a sentence elsewhere.
Material make_material(const QuestionOptions& options, std::vector<std::string> names,
                       bool mentions, uint64_t seed) {
  Draws draws(hash_u64(seed, kFacts));
  Draws places(hash_u64(seed, kPlaces));
  FactMaker maker(options.kind, options.split, options.digits, std::move(names), &draws);
  Material material;
  const auto elsewhere = [&](const std::string& text) {
    material.inserts.push_back({text, places.uniform(), false});
  };
  for (int64_t f = 0; f < options.facts; ++f) {
    material.facts.push_back(maker.fact());
    const Fact& fact = material.facts.back();
    const double drawn = places.uniform();
    const auto given = static_cast<size_t>(f) < options.depths.size();
    material.inserts.push_back(
        {f < options.asked ? emphasised(fact.statement, options, &draws) : fact.statement,
         given ? options.depths[static_cast<size_t>(f)] : drawn, true, given});
  }
  for (int64_t f = 0; f < options.asked; ++f) {
    const Fact& fact = material.facts[static_cast<size_t>(f)];
    if (options.contradicted) {
      const std::string form = draws.pick(passing_forms(options.split));
      elsewhere(filled(form, "{s}", maker.rival(fact).statement));
    }
    if (fact.answer_kind == AnswerKind::kNameInText && mentions) {
      elsewhere(filled(draws.pick(mention_sentences(options.split)), "{a}", fact.answer));
    }
  }
  for (int64_t d = 0; d < options.distractors; ++d) {
    elsewhere(options.kind == FactKind::kDigits ? maker.number_sentence() : maker.fact().statement);
  }
  return material;
}

Drawn draw(const QuestionOptions& options, uint64_t seed, int64_t trial, const Hay& hay) {
  check(options);
  Drawn drawn;
  drawn.seed = hash_u64(seed, static_cast<uint64_t>(trial), static_cast<uint64_t>(options.kind));
  drawn.place = hash_u64(drawn.seed, kHay);
  if (options.kind == FactKind::kNames) drawn.names = names_around(options, hay, drawn.place);
  return drawn;
}

AskedFact asked_fact(const QuestionOptions& options, const Fact& fact, const PromptForm& form) {
  AskedFact asked;
  asked.fact = fact;
  asked.question = fact.question + which_is_meant(options);
  asked.answer_ids = form.answer_ids(fact.answer_prefix, fact.answer);
  asked.guess_ids = form.answer_ids(fact.answer_prefix, fact.guess);
  return asked;
}

// The tokens that all begin with: where questions are cut off differently, the cut is the earliest.
void share_context(LongQuestion* question, const std::vector<PromptIds>& prompts) {
  size_t cut = prompts[0].context.size();
  for (const PromptIds& ids : prompts) cut = std::min(cut, ids.context.size());
  question->context_ids.assign(prompts[0].context.begin(),
                               prompts[0].context.begin() + static_cast<std::ptrdiff_t>(cut));
  for (size_t i = 0; i < prompts.size(); ++i) {
    auto& ids = question->asked[i].question_ids;
    ids.assign(prompts[i].context.begin() + static_cast<std::ptrdiff_t>(cut),
               prompts[i].context.end());
    ids.insert(ids.end(), prompts[i].question.begin(), prompts[i].question.end());
  }
}

// The longest question, which decides how much hay there is room for.
void set_question(const QuestionOptions& options, const Material& material, const PromptForm& form,
                  PromptText* text) {
  int64_t longest = -1;
  for (size_t f = 0; f < static_cast<size_t>(options.asked); ++f) {
    const Fact& fact = material.facts[f];
    const std::string question = fact.question + which_is_meant(options);
    const int64_t size = form.ids("\n", question, fact.answer_prefix).size();
    if (size <= longest) continue;
    longest = size;
    text->question = question;
    text->answer_prefix = fact.answer_prefix;
  }
}

LongQuestion asked_of(const QuestionOptions& options, const Material& material,
                      const FittedPrompt& fitted, const PromptForm& form) {
  LongQuestion question;
  question.context = fitted.context;
  std::vector<PromptIds> prompts;
  for (size_t f = 0; f < static_cast<size_t>(options.asked); ++f) {
    const Fact& fact = material.facts[f];
    AskedFact asked = asked_fact(options, fact, form);
    prompts.push_back(options.asked == 1
                          ? fitted.ids
                          : form.ids(fitted.context, asked.question, fact.answer_prefix));
    asked.end = fitted.fact_ends[f];
    asked.depth = material.inserts[f].depth;
    question.asked.push_back(std::move(asked));
  }
  share_context(&question, prompts);
  return question;
}

// Whether each name that is asked for stands in the text outside of its fact too.
bool names_occur(const LongQuestion& question) {
  return std::all_of(question.asked.begin(), question.asked.end(), [&](const AskedFact& asked) {
    const size_t first = question.context.find(asked.fact.answer);
    return question.context.find(asked.fact.answer, first + 1) != std::string::npos;
  });
}

}  // namespace

std::vector<AskedFact> draw_asked(const QuestionOptions& options, uint64_t seed, int64_t trial,
                                  const PromptFitter& fitter) {
  const Drawn drawn = draw(options, seed, trial, fitter.hay());
  // What else is put into the text is drawn behind the facts and changes none of them.
  const auto facts = make_material(options, drawn.names, /*mentions=*/false, drawn.seed).facts;
  std::vector<AskedFact> asked;
  for (size_t f = 0; f < static_cast<size_t>(options.asked); ++f)
    asked.push_back(asked_fact(options, facts[f], fitter.form()));
  return asked;
}

LongQuestion make_question(const QuestionOptions& options, int64_t length, uint64_t seed,
                           int64_t trial, PromptFitter* fitter) {
  const Drawn drawn = draw(options, seed, trial, fitter->hay());
  const bool of_names = options.kind == FactKind::kNames;
  bool mentions = false;
  while (true) {
    const Material material = make_material(options, drawn.names, mentions, drawn.seed);
    PromptText text;
    text.inserts = material.inserts;
    text.min_distance = options.min_distance;
    set_question(options, material, fitter->form(), &text);
    const FittedPrompt fitted = fitter->fit(text, length, drawn.place);
    LongQuestion question = asked_of(options, material, fitted, fitter->form());
    if (!of_names || mentions || names_occur(question)) return question;
    mentions = true;
  }
}

}  // namespace lococo
