#include "questions/fact_templates.h"

#include <array>

#include "questions/composed_templates.h"

namespace lococo {
namespace {

using Templates = std::vector<FactTemplate>;
template <typename Item>
using Parts = std::array<std::vector<Item>, kNumSplits>;  // training, validation, test
using A = AnswerKind;

const Parts<FactTemplate>& digits() {
  static const Parts<FactTemplate> parts = {
      Templates{{"The number of the locker that {p} rented in {c} is {a}.",
                 "What is the number of the locker that {p} rented in {c}?",
                 "The number of the locker that {p} rented in {c} is", A::kNumber},
                {"The code of the safe behind the {j} {n} is {a}.",
                 "What is the code of the safe behind the {j} {n}?",
                 "The code of the safe behind the {j} {n} is", A::kNumber},
                {"The telephone number of {p} is {a}.", "What is the telephone number of {p}?",
                 "The telephone number of {p} is", A::kNumber},
                {"The ticket for the {n} show in {c} carries the number {a}.",
                 "Which number does the ticket for the {n} show in {c} carry?",
                 "The ticket for the {n} show in {c} carries the number", A::kNumber},
                {"In the register {p} has the entry {a}.", "Which entry has {p} in the register?",
                 "In the register {p} has the entry", A::kNumber},
                {"The crate with the {j} {n} weighs exactly {a} grams.",
                 "How many grams does the crate with the {j} {n} weigh?",
                 "The crate with the {j} {n} weighs exactly", A::kNumber}},
      Templates{{"The combination of the lock on the {j} {n} reads {a}.",
                 "What does the combination of the lock on the {j} {n} read?",
                 "The combination of the lock on the {j} {n} reads", A::kNumber},
                {"The membership card of {p} shows the number {a}.",
                 "Which number does the membership card of {p} show?",
                 "The membership card of {p} shows the number", A::kNumber},
                {"The account that was opened in {c} for a {n} dealer is {a}.",
                 "Which account was opened in {c} for a {n} dealer?",
                 "The account that was opened in {c} for a {n} dealer is", A::kNumber}},
      Templates{{"The special key of the vault in {c} is {a}.",
                 "What is the special key of the vault in {c}?",
                 "The special key of the vault in {c} is", A::kNumber},
                {"The patent for the {j} {n} was filed as {a}.",
                 "As what was the patent for the {j} {n} filed?",
                 "The patent for the {j} {n} was filed as", A::kNumber},
                {"The passport that {p} lost bore the number {a}.",
                 "Which number did the passport bear that {p} lost?",
                 "The passport that {p} lost bore the number", A::kNumber}}};
  return parts;
}

const Parts<FactTemplate>& words() {
  static const Parts<FactTemplate> parts = {
      Templates{
          {"The password at the gate of the club in {c} is the word {a}.",
           "Which word is the password at the gate of the club in {c}?",
           "The password at the gate of the club in {c} is the word", A::kNoun},
          {"In the {j} chest that belonged to {p} lay nothing but a single {a}.",
           "What lay in the {j} chest that belonged to {p}?",
           "In the {j} chest that belonged to {p} lay nothing but a single", A::kNoun},
          {"The sign over the door of {p} shows the picture of one {a}.",
           "What does the sign over the door of {p} show?",
           "The sign over the door of {p} shows the picture of one", A::kNoun},
          {"The first prize of the fair in {c} was one {j} {a}.",
           "What was the first prize of the fair in {c}?",
           "The first prize of the fair in {c} was one {j}", A::kNoun},
          {"{p} forgot the {a} on the train to {c}.", "What did {p} forget on the train to {c}?",
           "On the train to {c} {p} forgot the", A::kNoun},
          {"The nickname of {p} at school was {a}.", "What was the nickname of {p} at school?",
           "The nickname of {p} at school was", A::kNoun}},
      Templates{{"The seal of the guild in {c} bears the figure of one {a}.",
                 "Which figure does the seal of the guild in {c} bear?",
                 "The seal of the guild in {c} bears the figure of one", A::kNoun},
                {"Under the {j} stairs {p} had hidden the {a}.",
                 "What had {p} hidden under the {j} stairs?",
                 "Under the {j} stairs {p} had hidden the", A::kNoun},
                {"The last thing on the shopping list of {p} is the word {a}.",
                 "What is the last thing on the shopping list of {p}?",
                 "The last thing on the shopping list of {p} is the word", A::kNoun}},
      Templates{{"The secret word of the travellers to {c} is {a}.",
                 "What is the secret word of the travellers to {c}?",
                 "The secret word of the travellers to {c} is", A::kNoun},
                {"In the parcel from {p} there was only the {j} {a}.",
                 "What was there in the parcel from {p}?",
                 "In the parcel from {p} there was only the {j}", A::kNoun},
                {"{p} won the auction in {c} and took home the {a}.",
                 "What did {p} take home from the auction in {c}?",
                 "From the auction in {c} {p} took home the", A::kNoun}}};
  return parts;
}

const Parts<FactTemplate>& names() {
  static const Parts<FactTemplate> parts = {
      Templates{{"The {j} {n} was broken by nobody but {a}.", "Who broke the {j} {n}?",
                 "The {j} {n} was broken by", A::kNameInText},
                {"The letter from {c} was addressed to {a}.",
                 "To whom was the letter from {c} addressed?",
                 "The letter from {c} was addressed to", A::kNameInText},
                {"The owner of the {j} {n} is {a}.", "Who is the owner of the {j} {n}?",
                 "The owner of the {j} {n} is", A::kNameInText},
                {"The debt to {p} was paid by {a}.", "Who paid the debt to {p}?",
                 "The debt to {p} was paid by", A::kNameInText},
                {"The song about the {n} was written by {a}.", "Who wrote the song about the {n}?",
                 "The song about the {n} was written by", A::kNameInText},
                {"The winner of the race to {c} was {a}.", "Who was the winner of the race to {c}?",
                 "The winner of the race to {c} was", A::kNameInText}},
      Templates{{"The {j} {n} was found by {a}.", "Who found the {j} {n}?",
                 "The {j} {n} was found by", A::kNameInText},
                {"The witness against {p} was {a}.", "Who was the witness against {p}?",
                 "The witness against {p} was", A::kNameInText},
                {"The only passenger from {c} was {a}.", "Who was the only passenger from {c}?",
                 "The only passenger from {c} was", A::kNameInText}},
      Templates{{"The {j} {n} was stolen by {a}.", "Who stole the {j} {n}?",
                 "The {j} {n} was stolen by", A::kNameInText},
                {"The messenger whom {p} sent was {a}.", "Who was the messenger whom {p} sent?",
                 "The messenger whom {p} sent was", A::kNameInText},
                {"The guest of honour in {c} was {a}.", "Who was the guest of honour in {c}?",
                 "The guest of honour in {c} was", A::kNameInText}}};
  return parts;
}

const Parts<FactTemplate>& paraphrase() {
  static const Parts<FactTemplate> parts = {
      Templates{{"After the funeral {p} packed everything and settled in {a}.",
                 "In which city does {p} live now?", "Now {p} lives in", A::kPlace},
                {"For many years {p} has earned money as the village {a}.",
                 "What is the profession of {p}?", "By profession {p} is a", A::kOccupation},
                {"Each evening {p} feeds the {a} before going to bed.",
                 "Which animal does {p} keep?", "The animal that {p} keeps is the", A::kAnimal},
                {"All day long the neighbours hear {p} practise on the {a}.",
                 "Which instrument does {p} play?", "{p} plays the", A::kInstrument},
                {"Last spring {p} walked down the aisle with {a}.", "Who is married to {p}?",
                 "{p} is married to", A::kFirstName},
                {"Nothing tastes better to {p} than {a}.", "What is the favourite food of {p}?",
                 "The favourite food of {p} is", A::kFood}},
      Templates{{"The cradle of {p} stood in a narrow street behind the harbour of {a}.",
                 "From which town does {p} come?", "{p} comes from", A::kPlace},
                {"In the workshop nobody but {p} may touch the {a}.", "Which tool belongs to {p}?",
                 "The tool that belongs to {p} is the", A::kTool},
                {"With much patience {p} showed {a} how to read and write.",
                 "Who was a pupil of {p}?", "A pupil of {p} was", A::kFirstName}},
      Templates{{"Having sold the farm, {p} moved into a flat in the middle of {a}.",
                 "Where is the home of {p} nowadays?", "The home of {p} is nowadays in", A::kPlace},
                {"Whenever the roads are dry, {p} fetches the {a} from the shed.",
                 "By which vehicle does {p} travel?", "{p} travels by", A::kVehicle},
                {"According to the will, {a} gets all the money that {p} leaves behind.",
                 "Who is the heir of {p}?", "The heir of {p} is", A::kFirstName}}};
  return parts;
}

const Parts<FactTemplate>& written(FactKind kind) {
  switch (kind) {
    case FactKind::kDigits:
      return digits();
    case FactKind::kWords:
      return words();
    case FactKind::kNames:
      return names();
    case FactKind::kParaphrase:
      break;
  }
  return paraphrase();
}

using Sentences = std::vector<const char*>;

}  // namespace

const std::vector<FactTemplate>& templates_of(FactKind kind, Split split) {
  using Kinds = std::array<Templates, kNumFactKinds>;
  static const Kinds training = [] {
    Kinds kinds;
    for (size_t i = 0; i < kNumFactKinds; ++i) {
      const auto of = static_cast<FactKind>(i);
      kinds[i] = written(of)[static_cast<size_t>(Split::kTrain)];
      const Templates composed = composed_templates(of);
      kinds[i].insert(kinds[i].end(), composed.begin(), composed.end());
    }
    return kinds;
  }();
  if (split == Split::kTrain) return training[static_cast<size_t>(kind)];
  return written(kind)[static_cast<size_t>(split)];
}

const std::vector<const char*>& important_forms(Split split) {
  static const Parts<const char*> parts = {
      Sentences{"Remember this well: {s}", "It is important not to forget this. {s}",
                "You will need this later. {s}", "Write this down. {s}",
                "{s} That must never be forgotten.", "Attention, please. {s}",
                "The most important thing of all is this. {s}", "Learn it by heart: {s}",
                "{s} Much will depend on that one day."},
      Sentences{"Mark these words, for they matter. {s}"},
      Sentences{"Keep the following in mind. {s} It is what counts."}};
  return parts[static_cast<size_t>(split)];
}

const std::vector<const char*>& repeated_forms(Split split) {
  static const Parts<const char*> parts = {
      Sentences{"{s} Once more: {s}", "{s} I say it twice. {s}", "{s} {s}",
                "{s} And again, for those who slept: {s}", "{s} Yes, indeed. {s}"},
      Sentences{"{s} To repeat it: {s}"}, Sentences{"{s} Hear it again. {s}"}};
  return parts[static_cast<size_t>(split)];
}

const std::vector<const char*>& passing_forms(Split split) {
  static const Parts<const char*> parts = {
      Sentences{"Somebody had it in passing: {s}", "It was only gossip, of course. {s}",
                "{s} But that is neither here nor there.", "People will say anything: {s}",
                "{s} Nobody cared."},
      Sentences{"There was idle talk: {s}"}, Sentences{"A stranger had muttered something. {s}"}};
  return parts[static_cast<size_t>(split)];
}

const std::vector<const char*>& number_sentences(Split split) {
  static const Parts<const char*> parts = {
      Sentences{"They counted {a} sacks of grain in {c} that year.",
                "The ledger showed a loss of {a} shillings.", "From here to {c} it was {a} paces.",
                "On the side of the {n} somebody had painted {a}.",
                "The bill of the inn came to {a} in all.",
                "A shelf of {a} books about {c} stood in the hall.",
                "Of the {a} letters from {c} not one was opened.",
                "He had read {a} pages before the {n} fell over.",
                "Nearly {a} people came to see the {n}.",
                "In {c} one paid {a} for it, and elsewhere less.",
                "They walked {a} yards and sat down beside the {n}."},
      Sentences{"A train of {a} soldiers had passed through {c}.",
                "The page about the {n} was numbered {a}.",
                "The merchant offered {a} crowns, and no more."},
      Sentences{"In the census of {c} there were {a} souls.",
                "The label of the {n} said {a} and nothing else.",
                "The mill had ground {a} bushels since the spring."}};
  return parts[static_cast<size_t>(split)];
}

const std::vector<const char*>& mention_sentences(Split split) {
  static const Parts<const char*> parts = {
      Sentences{"{a} looked out of the window and said nothing.", "Then {a} laughed."},
      Sentences{"At that moment {a} came up the path."},
      Sentences{"{a} nodded and went on eating."}};
  return parts[static_cast<size_t>(split)];
}

}  // namespace lococo
