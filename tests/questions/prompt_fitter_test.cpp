#include "questions/prompt_fitter.h"

#include <cstdlib>
#include <filesystem>

#include "core/hash.h"
#include "questions/sentences.h"
#include "tests/support/catch.h"
#include "tests/support/chunk_tokenizer.h"
#include "tests/support/made_novel.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_tokenizer.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

PromptText with_fact(double depth, int64_t distance = 0) {
  PromptText text;
  text.before = "Read this.\n";
  text.inserts = {{"The code is 4711.", depth}};
  text.question = "What is the code?";
  text.answer_prefix = "The code is";
  text.min_distance = distance;
  return text;
}

}  // namespace

TEST_CASE("A small prompt is what one would write by hand", "[questions]") {
  const ChunkTokenizer tokenizer;
  const PlainForm form(tokenizer);
  const Hay hay = Hay::of_texts({"One two. Three four. Five six."});
  PromptFitter fitter(hay, form);
  // BOS; "Read this.\n" 5; hay without "One" (" two" is "two" at its beginning); the fact 9 ...
  const FittedPrompt fitted = fitter.fit(with_fact(0.5), 39, 0);
  CHECK(tokenizer.decode(fitted.ids.context) == fitted.context);
  CHECK(tokenizer.decode(fitted.ids.question) == "What is the code? The code is");
  CHECK_CONTAINS(fitted.context, "The code is 4711. ");
  CHECK(fitted.context.starts_with("Read this.\n"));
  CHECK(fitted.context.ends_with(".\n"));
  CHECK(fitted.ids.size() == 39);
  REQUIRE(fitted.fact_ends.size() == 1);
  const std::vector<int32_t> to_fact(fitted.ids.context.begin(),
                                     fitted.ids.context.begin() + fitted.fact_ends[0]);
  CHECK(tokenizer.decode(to_fact).ends_with("The code is 4711."));
}

TEST_CASE("Inserts stand between sentences, at both ends and anywhere within", "[questions]") {
  const ChunkTokenizer tokenizer(false);
  const PlainForm form(tokenizer);
  const Hay hay =
      Hay::of_texts({"Aa aa. Bb bb.\nCc cc. Dd dd. Ee ee. Ff ff. Gg gg. Hh hh. Ii ii. "
                     "Jj jj. Kk kk. Ll ll. Mm mm."});
  PromptFitter fitter(hay, form);
  PromptText text;
  text.inserts = {{"X.", 0.0}, {"Y.", 0.5, false}, {"Z.", 1.0}, {"W.", 1.0}};
  text.question = "Q?";
  const FittedPrompt fitted = fitter.fit(text, 23, hash_u64(3, 0));
  INFO(fitted.context);
  CHECK(fitted.ids.size() == 23);
  CHECK(fitted.context.starts_with("X. "));
  CHECK(fitted.context.ends_with(". Z. W.\n"));
  CHECK_CONTAINS(fitted.context, ". Y. ");
  CHECK(fitted.fact_ends.size() == 3);
}

TEST_CASE("The end of the hay is a place for an insert, whatever stands behind its sentence",
          "[questions]") {
  const ChunkTokenizer tokenizer(false);
  const PlainForm form(tokenizer);
  const Hay hay = Hay::of_texts({"Aa aa.\n\nBb bb.\n\nCc cc.\n\nDd dd.\n\nEe ee.\n\nFf ff."});
  PromptFitter fitter(hay, form);
  PromptText text;
  text.inserts = {{"Z.", 1.0}};
  text.question = "Q?";
  const FittedPrompt fitted = fitter.fit(text, 20, 0);
  CHECK(fitted.context == "Bb bb.\n\nCc cc.\n\nDd dd. Z.\n");
}

TEST_CASE("Prompts have exactly the tokens asked for, nearly always, and never more",
          "[questions]") {
  const TemporaryFolder folder;
  write_byte_tokenizer(folder / "tokenizer.model");
  const auto bytes = load_tokenizer(folder / "tokenizer.model");
  const ChunkTokenizer chunks;
  const Tokenizer* const tokenizers[] = {bytes.get(), &chunks};
  const Hay novel = Hay::of_texts({made_novel(3000, 1), made_novel(2000, 2)});
  const Hay filler = Hay::filler();
  for (const Tokenizer* tokenizer : tokenizers) {
    const PlainForm form(*tokenizer);
    for (const Hay* hay : {&novel, &filler}) {
      PromptFitter fitter(*hay, form);
      int exact = 0, trials = 0;
      for (const int64_t length : {300, 1000, 4096}) {
        for (uint64_t trial = 0; trial < 30; ++trial, ++trials) {
          const FittedPrompt fitted =
              fitter.fit(with_fact(uniform01(hash_u64(1, trial))), length, hash_u64(2, trial));
          const int64_t size = fitted.ids.size();
          CHECK(size <= length);
          CHECK(size >= length - 4);
          exact += size == length ? 1 : 0;
        }
      }
      INFO((tokenizer == bytes.get() ? "bytes" : "chunks")
           << (hay->repeats() ? " filler" : " novel"));
      // Where each letter is a token, a word that fills the gap is rarer.
      CHECK(exact * 100 >= trials * (tokenizer == bytes.get() ? 90 : 97));
    }
  }
}

TEST_CASE("The two halves are the whole text's tokens", "[questions]") {
  const TemporaryFolder folder;
  write_byte_tokenizer(folder / "tokenizer.model");
  const auto tokenizer = load_tokenizer(folder / "tokenizer.model");
  const PlainForm form(*tokenizer);
  const PromptIds ids = form.ids("the grass\n", "what is it?", "it is");
  auto joint = ids.context;
  joint.insert(joint.end(), ids.question.begin(), ids.question.end());
  auto expected = tokenizer->encode("the grass\nwhat is it? it is");
  expected.insert(expected.begin(), tokenizer->bos_id());
  CHECK(joint == expected);
  CHECK(tokenizer->decode(ids.question) == "what is it? it is");
  // " the" is one token: where the context ends within it, it is the question's.
  const PromptIds within = form.ids("of ", "the grass", "");
  CHECK(tokenizer->decode(within.context) == "of");
  CHECK(tokenizer->decode(form.answer_ids("it is", "the")) == "the");
  CHECK(form.answer_ids("it is", "the").size() == 1);
}

TEST_CASE("A fact's depth is that of the tokens before it", "[questions]") {
  const ChunkTokenizer tokenizer;
  const PlainForm form(tokenizer);
  const Hay hay = Hay::of_texts({made_novel(3000)});
  PromptFitter fitter(hay, form);
  for (const double depth : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    const FittedPrompt fitted = fitter.fit(with_fact(depth), 2000, 7);
    const double share =
        static_cast<double>(fitted.fact_ends[0]) / static_cast<double>(fitted.ids.context.size());
    CHECK(share == Approx(depth).margin(0.02));
  }
}

TEST_CASE("A fact keeps its distance to the question, at every depth", "[questions]") {
  const ChunkTokenizer tokenizer;
  const PlainForm form(tokenizer);
  const Hay hay = Hay::of_texts({made_novel(3000)});
  PromptFitter fitter(hay, form);
  for (const double depth : {0.0, 0.5, 1.0}) {
    for (const int64_t distance : {100, 700, 1500}) {
      const FittedPrompt fitted = fitter.fit(with_fact(depth, distance), 2000, 7);
      const int64_t after = static_cast<int64_t>(fitted.ids.context.size()) - fitted.fact_ends[0];
      CHECK(after >= distance);
      if (depth == 1.0) CHECK(after < distance + 40);  // within one sentence
    }
  }
}

TEST_CASE("What has no room is refused", "[questions]") {
  const ChunkTokenizer tokenizer;
  const PlainForm form(tokenizer);
  const Hay hay = Hay::of_texts({made_novel(20)});
  PromptFitter fitter(hay, form);
  CHECK_CONTAINS(user_error_of([&] { fitter.fit(with_fact(0.5), 20, 1); }),
                 "a prompt of 20 tokens has no room: its own sentences take");
  CHECK_CONTAINS(user_error_of([&] { fitter.fit(with_fact(0.5, 290), 300, 1); }),
                 "the distance to the question 290");
  CHECK_CONTAINS(user_error_of([&] { fitter.fit(with_fact(0.5), 5000, 1); }),
                 "the texts are too short");
}
