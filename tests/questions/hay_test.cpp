#include "questions/hay.h"

#include <set>

#include "core/files.h"
#include "core/hash.h"
#include "questions/names.h"
#include "questions/sentences.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

std::vector<std::string> sentences_of(const std::string& text) {
  std::vector<std::string> sentences;
  for (const Sentence& s : split_sentences(text)) {
    sentences.push_back(text.substr(s.begin, s.end - s.begin));
  }
  return sentences;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("Sentences end where a reader would say so", "[questions]") {
  CHECK(sentences_of(" One two. \"Three?\" Four! (Five.) Six") ==
        Texts{"One two.", "\"Three?\"", "Four!", "(Five.)", "Six"});
  CHECK(sentences_of("Mr. Pip met J. Gargery. \"What?\" he said.") ==
        Texts{"Mr. Pip met J. Gargery.", "\"What?\" he said."});
  CHECK(sentences_of("No full stop\n\nA new paragraph\nof two lines") ==
        Texts{"No full stop", "A new paragraph\nof two lines"});
  CHECK(sentences_of(" \n ").empty());
  std::string endless;
  for (int i = 0; i < 250; ++i) endless += "word ";
  CHECK(sentences_of(endless).size() == 3);
  const Sentence first = split_sentences("Ab c.  De.")[0];
  CHECK((first.begin == 0 && first.end == 5 && first.separator_end == 7 && first.num_words == 2));
}

TEST_CASE("Hay keeps the texts as they are and goes round", "[questions]") {
  const Hay hay = Hay::of_texts({"One. Two.\nThree.", "Four."});
  REQUIRE(hay.num_units() == 4);
  std::string text;
  for (int64_t u = 0; u < 5; ++u) {
    text.append(hay.unit(u).text).append(hay.unit(u).separator);
  }
  CHECK(text == "One. Two.\nThree.\nFour.\nOne. ");
  CHECK_FALSE(hay.repeats());
  CHECK_CONTAINS(user_error_of([] { Hay::of_texts({" ", ""}); }), "hold no words");
}

TEST_CASE("A stretch of hay begins where its text has enough words left", "[questions]") {
  const Hay hay = Hay::of_texts({"A b c d. E f. G.", "H i j k. L m. N.", "O p."});
  const auto starts = [&](int64_t num_words) {
    std::set<int64_t> all;
    for (uint64_t i = 0; i < 300; ++i) all.insert(hay.draw_start(hash_u64(1, i), num_words));
    return all;
  };
  CHECK(starts(3) == std::set<int64_t>{0, 1, 3, 4});
  CHECK(starts(2) == std::set<int64_t>{0, 1, 3, 4, 6});
  CHECK(starts(8).size() == 7);  // no text is as long: they follow one another
  CHECK(hay.text_from(5, 4) == "N.\nO p.\nA b c d. ");
}

TEST_CASE("Filler is LongLoRA's five sentences, in one line or a line for all five",
          "[questions]") {
  const Hay line = Hay::filler();
  CHECK(line.num_units() == 5);
  CHECK(line.unit(5).text == "The grass is green.");
  CHECK(line.repeats());
  CHECK(line.draw_start(12345, 100) == 0);
  const Hay lines = Hay::filler_lines();
  CHECK(lines.unit(3).separator == " ");
  CHECK(lines.unit(9).separator == "\n");
  CHECK(lines.insert_separator() == "\n");
  CHECK(lines.may_insert_behind(4));
  CHECK_FALSE(lines.may_insert_behind(3));
  CHECK(line.may_insert_behind(3));
}

TEST_CASE("Hay is read from files, folders and JSONL", "[questions]") {
  const TemporaryFolder folder;
  write_text_file(folder / "a.txt", "One. Two.");
  write_text_file(folder / "b.jsonl", "{\"text\": \"Three.\"}\n{\"text\": \"Four.\"}\n");
  const Hay hay = Hay::of_documents({folder / "a.txt", folder / "b.jsonl"}, "text");
  CHECK(hay.num_units() == 4);
  CHECK(hay.unit(3).text == "Four.");
}

TEST_CASE("Names are words that never occur without their capital", "[questions]") {
  CHECK(names_in("Now Bathsheba came. Then came Bathsheba Everdene. May I? We saw Everdene. In "
                 "May she may go in May. On Monday, on Monday. \"Look!\" cried OAK and OAK. And "
                 "to Rose, with Rose, a rose.") == Texts{"Bathsheba", "Everdene"});
}
