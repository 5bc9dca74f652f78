#include "questions/composed_templates.h"

#include <cctype>
#include <string>

#include "questions/facts.h"

namespace lococo {
namespace {

using Texts = std::vector<const char*>;
using Templates = std::vector<FactTemplate>;

/// {x} stands for a subject and whose it is, {w} for where something was done, {done} and {do} for
/// a verb, {W} for {w} at the beginning of a sentence.
struct Frame {
  const char *statement, *question, *prefix;
};

struct Verb {
  const char *past, *base;
};

const Texts kNumberSubjects = {
    "locker number",    "door code",      "ticket number",  "serial number",  "house number",
    "weight in grams",  "price in pence", "invoice number", "licence number", "room number",
    "catalogue number", "badge number",   "order number",   "entry code",     "reference number",
    "lot number",       "shelf mark",     "page number",    "score",          "distance in feet",
    "balance",          "dial setting",   "postal code"};
const Texts kNounSubjects = {"emblem",
                             "motto",
                             "nickname",
                             "favourite toy",
                             "lucky charm",
                             "present",
                             "signal",
                             "trademark",
                             "password",
                             "badge",
                             "relic",
                             "heirloom",
                             "souvenir",
                             "stake",
                             "pledge",
                             "mascot",
                             "pet name",
                             "crest",
                             "answer to the riddle"};
const Texts kNameSubjects = {"author",   "painter",   "rival",     "tutor",     "partner",
                             "captain",  "editor",    "founder",   "guardian",  "judge",
                             "landlord", "nurse",     "driver",    "secretary", "builder",
                             "champion", "treasurer", "translator"};
const Texts kOwners = {"of {p}",
                       "in {c}",
                       "of the {j} {n}",
                       "for {p} in {c}",
                       "from {c}",
                       "of the {n} seller in {c}",
                       "beside the {j} {n}",
                       "of the {n} club"};
const Texts kPlaces = {"in {c}", "on the {j} {n}", "beside the {n}", "on the way to {c}",
                       "under the {j} {n}"};
const Texts kOccasions = {"in {c}", "for {p}", "before the feast of {c}"};

const std::vector<Frame> kThingFrames = {
    {"The {x} is {a}.", "What is the {x}?", "The {x} is"},
    {"{a} is the {x}.", "What is the {x}?", "The {x} is"},
    {"As the {x} somebody wrote down {a}.", "What did somebody write down as the {x}?",
     "As the {x} somebody wrote down"},
    {"Whoever asks for the {x} will be told {a}.", "What is whoever asks for the {x} told?",
     "Whoever asks for the {x} will be told"},
    {"It was {a}, they said, that stood on the paper as the {x}.",
     "What stood on the paper as the {x}?", "On the paper stood as the {x}"},
    {"They changed the {x} to {a}.", "To what did they change the {x}?", "They changed the {x} to"},
    {"With {a} as the {x} nobody could go wrong.", "What was the {x}?", "The {x} was"},
    {"The {x} never was anything but {a}.", "What was the {x} always?", "The {x} always was"},
    {"Of the {x} this much is known: {a}.", "What is known of the {x}?",
     "Of the {x} this is known:"}};
const std::vector<Frame> kPersonFrames = {
    {"The {x} is {a}.", "Who is the {x}?", "The {x} is"},
    {"{a} is the {x}.", "Who is the {x}?", "The {x} is"},
    {"They chose {a} as the {x}.", "Whom did they choose as the {x}?", "As the {x} they chose"},
    {"Nobody but {a} could be the {x}.", "Who could be the {x}?", "The {x} could be"},
    {"Until spring {a} remained the {x}.", "Who remained the {x} until spring?",
     "Until spring the {x} remained"},
    {"For a week the {x} had been {a}.", "Who had been the {x} for a week?",
     "For a week the {x} had been"}};

const std::vector<Frame> kNumberEvents = {
    {"{p} {done} the number {a} {w}.", "Which number did {p} {do} {w}?",
     "The number that {p} {done} {w} is"},
    {"{W} {p} {done} {a}.", "Which number did {p} {do} {w}?", "{W} {p} {done}"}};
const std::vector<Frame> kNounEvents = {
    {"{p} {done} the {a} {w}.", "What did {p} {do} {w}?", "{W} {p} {done} the"},
    {"It was the {a} that {p} {done} {w}.", "What did {p} {do} {w}?",
     "What {p} {done} {w} was the"}};
const std::vector<Frame> kNameEvents = {
    {"The {j} {n} was {done} {w} by {a}.", "By whom was the {j} {n} {done} {w}?",
     "The {j} {n} was {done} {w} by"},
    {"{W} {a} {done} the {j} {n}.", "Who {done} the {j} {n} {w}?",
     "The {j} {n} was {done} {w} by"}};

const std::vector<Verb> kNumberVerbs = {
    {"wrote", "write"},   {"dialled", "dial"},  {"whispered", "whisper"}, {"typed", "type"},
    {"carved", "carve"},  {"noted", "note"},    {"shouted", "shout"},     {"counted", "count"},
    {"stamped", "stamp"}, {"guessed", "guess"}, {"drew", "draw"}};
const std::vector<Verb> kNounVerbs = {
    {"bought", "buy"},        {"lost", "lose"},         {"sold", "sell"},
    {"painted", "paint"},     {"buried", "bury"},       {"borrowed", "borrow"},
    {"broke", "break"},       {"sent", "send"},         {"carried", "carry"},
    {"mended", "mend"},       {"inherited", "inherit"}, {"dropped", "drop"},
    {"pawned", "pawn"},       {"wrapped", "wrap"},      {"polished", "polish"},
    {"exchanged", "exchange"}};
/// Past and participle are one word.
const std::vector<Verb> kNameVerbs = {
    {"bought", ""}, {"painted", ""},  {"sold", ""},     {"lost", ""},     {"mended", ""},
    {"dusted", ""}, {"borrowed", ""}, {"repaired", ""}, {"measured", ""}, {"photographed", ""}};

std::string with_capital(std::string text) {
  if (!text.empty()) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text;
}

/// A frame whose slots are filled one after the other.
class Draft {
 public:
  Draft(const Frame& frame, AnswerKind answer)
      : form_{frame.statement, frame.question, frame.prefix, answer} {}

  Draft& fill(const std::string& slot, const std::string& text) {
    for (std::string* part : {&form_.statement, &form_.question, &form_.prefix})
      *part = filled(*part, slot, text);
    return *this;
  }

  /// A noun is answered with its article.
  Draft& with_article() {
    form_.statement = filled(form_.statement, "{a}", "the {a}");
    form_.prefix += " the";
    return *this;
  }

  FactTemplate done() const {
    FactTemplate form = form_;
    form.statement = with_capital(form.statement);
    return form;
  }

 private:
  FactTemplate form_;
};

void add_subjects(const Texts& subjects, const std::vector<Frame>& frames, AnswerKind answer,
                  Templates* all) {
  for (const char* const subject : subjects) {
    for (const char* const owner : kOwners) {
      for (const Frame& frame : frames) {
        Draft draft(frame, answer);
        draft.fill("{x}", std::string(subject) + ' ' + owner);
        if (answer == AnswerKind::kNoun) draft.with_article();
        all->push_back(draft.done());
      }
    }
  }
}

void add_events(const std::vector<Verb>& verbs, const Texts& places,
                const std::vector<Frame>& frames, AnswerKind answer, Templates* all) {
  for (const Verb& verb : verbs) {
    for (const char* const place : places) {
      for (const Frame& frame : frames) {
        Draft draft(frame, answer);
        draft.fill("{done}", verb.past).fill("{do}", verb.base);
        all->push_back(draft.fill("{w}", place).fill("{W}", with_capital(place)).done());
      }
    }
  }
}

}  // namespace

std::vector<FactTemplate> composed_templates(FactKind kind) {
  Templates all;
  switch (kind) {
    case FactKind::kDigits:
      add_subjects(kNumberSubjects, kThingFrames, AnswerKind::kNumber, &all);
      add_events(kNumberVerbs, kPlaces, kNumberEvents, AnswerKind::kNumber, &all);
      break;
    case FactKind::kWords:
      add_subjects(kNounSubjects, kThingFrames, AnswerKind::kNoun, &all);
      add_events(kNounVerbs, kPlaces, kNounEvents, AnswerKind::kNoun, &all);
      break;
    case FactKind::kNames:
      add_subjects(kNameSubjects, kPersonFrames, AnswerKind::kNameInText, &all);
      add_events(kNameVerbs, kOccasions, kNameEvents, AnswerKind::kNameInText, &all);
      break;
    case FactKind::kParaphrase:
      break;
  }
  return all;
}

}  // namespace lococo
