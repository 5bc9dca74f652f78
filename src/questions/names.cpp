#include "questions/names.h"

#include <algorithm>
#include <sstream>
#include <unordered_map>
#include <unordered_set>

#include "questions/sentences.h"
#include "questions/word_lists.h"

namespace lococo {
namespace {

constexpr const char* kNoPeople =
    "Mister Missis Sir Lord Lady Madam Madame Miss Master Mistress Captain Major Colonel General "
    "Doctor Professor Reverend Father Mother Brother Sister Aunt Uncle King Queen Prince Princess "
    "Duke Duchess Earl Count Countess Baron Squire Bishop Church Christ Christian Christmas Easter "
    "Bible Heaven Providence Lordship Ladyship Majesty Highness Honour Grace Monday Tuesday "
    "Wednesday Thursday Friday Saturday Sunday January February March April June July August "
    "September October November December English Englishman French Frenchman German Germans Irish "
    "Scotch Scottish Welsh Italian Spanish Dutch Russian American Roman Romans Greek Latin Jewish "
    "England Scotland Ireland Wales Britain France Germany Italy Spain Russia America Europe Asia "
    "Africa India China Egypt London Paris Rome York Oxford Cambridge Street Road Square House "
    "Hall Park Court Castle Parliament Government State North South East West Chapter Book Part";

const std::unordered_set<std::string>& no_people() {
  static const std::unordered_set<std::string> words = [] {
    std::istringstream stream(kNoPeople);
    std::unordered_set<std::string> all;
    for (std::string word; stream >> word;) all.insert(word);
    for (const Split split : {Split::kTrain, Split::kValidation, Split::kTest}) {
      const auto& places = words_of(WordList::kPlaces, split);
      all.insert(places.begin(), places.end());
    }
    return all;
  }();
  return words;
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

}  // namespace

std::vector<std::string> names_in(std::string_view text) {
  constexpr size_t kShortest = 4;
  std::unordered_map<std::string, int> capitals;  // occurrences within sentences
  std::unordered_set<std::string> in_lower_case;
  std::vector<std::string> order;
  for (const Sentence& sentence : split_sentences(text)) {
    bool first = true;
    for (size_t at = sentence.begin; at < sentence.end;) {
      size_t end = at;
      while (end < sentence.end && is_letter(text[end])) ++end;
      const std::string word(text.substr(at, end - at));
      // Behind a quotation mark a sentence begins too, and "O'Brien" is no "Brien".
      const bool begins = first || (at > 0 && (text[at - 1] == '"' || text[at - 1] == '\''));
      if (!word.empty()) {
        first = false;
        const bool capital = word[0] <= 'Z';
        if (!capital) in_lower_case.insert(word);
        if (capital && !begins && word.size() >= kShortest && ++capitals[word] == 1) {
          order.push_back(word);
        }
      }
      at = std::max(end, at + 1);
    }
  }
  std::erase_if(order, [&](const std::string& word) {
    std::string lower = word;
    lower[0] = static_cast<char>(lower[0] - 'A' + 'a');
    const bool shouted = word[1] <= 'Z';
    return shouted || capitals[word] < 2 || in_lower_case.contains(lower) ||
           no_people().contains(word);
  });
  return order;
}

}  // namespace lococo
