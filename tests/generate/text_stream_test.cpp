// Pieces of text as tokens come, against one decode of all of them.
#include "generate/text_stream.h"

#include <utf8.h>

#include <random>

#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_bpe.h"
#include "tests/support/tiny_tokenizer.h"
#include "tokenizer/bpe_tokenizer.h"
#include "tokenizer/sentencepiece_tokenizer.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

using Ids = std::vector<int32_t>;

class ByteTokenizer {
 public:
  ByteTokenizer() { write_byte_tokenizer(folder_ / "tokenizer.model"); }
  SentencePieceTokenizer open() const {
    return SentencePieceTokenizer(folder_ / "tokenizer.model");
  }

 private:
  TemporaryFolder folder_;
};

constexpr int32_t kA = 260, kSpace = 259, kThe = 286;
int32_t byte(int value) { return 3 + value; }

bool is_valid(const std::string& text) { return utf8::is_valid(text.begin(), text.end()); }

/// What the stream makes of `ids` in parts of `part` tokens; every piece is checked.
std::string streamed(const Tokenizer& tokenizer, const Ids& prompt, const Ids& ids, size_t part) {
  TextStream stream(tokenizer, prompt);
  std::string text;
  for (size_t begin = 0; begin < ids.size(); begin += part) {
    const auto end = std::min(begin + part, ids.size());
    const auto piece =
        stream.add({ids.begin() + static_cast<long>(begin), ids.begin() + static_cast<long>(end)});
    CHECK(is_valid(piece));
    text += piece;
  }
  const auto last = stream.finish();
  CHECK(is_valid(last));
  return text + last;
}

Ids joined(Ids a, const Ids& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

TEST_CASE("the pieces of a stream are what one decode of all tokens gives", "[generate]") {
  const ByteTokenizer files;
  const auto tokenizer = files.open();
  std::mt19937 random(1);
  for (int round = 0; round < 300; ++round) {
    // Bytes, letters and words, with more bytes in some rounds.
    const auto some = [&](size_t count) {
      Ids ids;
      for (size_t i = 0; i < count; ++i)
        ids.push_back(random() % 4 < static_cast<unsigned>(round % 4)
                          ? byte(static_cast<int>(random() % 256))
                          : static_cast<int32_t>(random() % kByteVocabulary));
      return ids;
    };
    const auto prompt = joined(joined({tokenizer.bos_id()}, some(random() % 90)), {kA});
    const auto ids = some(random() % 200);
    const auto want = tokenizer.decode(joined(prompt, ids)).substr(tokenizer.decode(prompt).size());
    CHECK(streamed(tokenizer, prompt, ids, 1 + random() % 9) == want);
  }
}

TEST_CASE("the pieces of a stream of byte-level BPE are its decoded text", "[generate]") {
  const TemporaryFolder folder;
  write_json(folder / "tokenizer.json", tiny_bpe());
  const BpeTokenizer tokenizer(folder / "tokenizer.json");
  std::mt19937 random(2);
  for (int round = 0; round < 300; ++round) {
    // Any bytes, the bytes of characters, and words; the prompt ends with a whole character.
    const auto some = [&](size_t pieces) {
      Ids ids;
      for (size_t i = 0; i < pieces; ++i) {
        const auto part = tokenizer.encode(random() % 2 == 0 ? "\U0001F600" : "\u20AC\uFFFD");
        if (random() % 3 == 0) ids.insert(ids.end(), part.begin(), part.end());
        ids.push_back(static_cast<int32_t>(random() % (round % 2 == 0 ? 256 : kBpeVocabulary)));
      }
      return ids;
    };
    const auto prompt = joined(some(random() % 60), {'a'});
    const auto ids = some(random() % 90);
    const auto want = tokenizer.decode(joined(prompt, ids)).substr(tokenizer.decode(prompt).size());
    CHECK(streamed(tokenizer, prompt, ids, 1 + random() % 9) == want);
  }
}

TEST_CASE("a character appears when its last byte has come, and not before", "[generate]") {
  const ByteTokenizer files;
  const auto tokenizer = files.open();
  TextStream stream(tokenizer, {tokenizer.bos_id(), kThe});
  CHECK(stream.add({kThe}) == " the");
  CHECK(stream.add({byte(0xE2)}).empty());
  CHECK(stream.add({byte(0x82)}).empty());
  CHECK(stream.add({byte(0xAC)}) == "\u20AC");
  CHECK(stream.add({kA}) == "a");
  CHECK(stream.add({byte(0xF0)}).empty());
  CHECK(stream.add({kA}) == "\uFFFDa");
  CHECK(stream.add({byte(0xE2)}).empty());
  CHECK(stream.finish() == "\uFFFD");
  CHECK(stream.finish().empty());
}

TEST_CASE("the space before the first word stays behind a text and goes at its beginning",
          "[generate]") {
  const ByteTokenizer files;
  const auto tokenizer = files.open();
  CHECK(streamed(tokenizer, {}, {kThe, kThe}, 1) == "the the");
  CHECK(streamed(tokenizer, {tokenizer.bos_id()}, {kThe}, 1) == "the");
  CHECK(streamed(tokenizer, {kA}, {kThe}, 1) == " the");
  // A prompt whose last tokens have no text at all.
  Ids prompt = {kA};
  prompt.insert(prompt.end(), 100, tokenizer.bos_id());
  CHECK(streamed(tokenizer, prompt, {kThe}, 1) == " the");
  CHECK(streamed(tokenizer, {kSpace, kSpace}, {kA}, 1) ==
        tokenizer.decode({kSpace, kSpace, kA}).substr(tokenizer.decode({kSpace, kSpace}).size()));
}

TEST_CASE("a prompt that ends within a character gives its part of it to the text", "[generate]") {
  const ByteTokenizer files;
  const auto tokenizer = files.open();
  CHECK(streamed(tokenizer, {kA, byte(0xE2), byte(0x82)}, {byte(0xAC), kA}, 1) == "\u20ACa");
}
