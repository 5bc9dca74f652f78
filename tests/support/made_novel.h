// A text like a novel for tests: no sentence twice, names that come back, no digits.
#pragma once

#include <string>

#include "questions/draws.h"
#include "questions/word_lists.h"

namespace lococo::testing {

inline std::string made_novel(int sentences, uint64_t seed = 1) {
  Draws draws(seed);
  const std::vector<std::string> people = {"Eleanor",  "Thomas",  "Margaret", "Gideon", "Susannah",
                                           "Jeremiah", "Barbara", "Hezekiah", "Lydia",  "Ezra"};
  const std::vector<std::string> verbs = {"carried", "looked for", "forgot", "admired", "mended"};
  const std::vector<std::string> ends = {" before it was dark", " without a word",
                                         " as if nothing had been said", " and smiled", ""};
  std::string text;
  for (int s = 0; s < sentences; ++s) {
    const auto thing = [&] {
      return draws.pick(words_of(WordList::kAdjectives, Split::kTrain)) + " " +
             draws.pick(words_of(WordList::kNouns, Split::kTrain));
    };
    text += "On the way to the " + thing() + " " + draws.pick(people) + " " + draws.pick(verbs) +
            " the " + thing() + " of " + draws.pick(people) + draws.pick(ends) + ".";
    text += s % 7 == 6 ? "\n" : " ";
  }
  return text;
}

}  // namespace lococo::testing
