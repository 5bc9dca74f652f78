#include "tokenizer/bpe_tokenizer.h"

#include <thread>

#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_bpe.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;
using nlohmann::json;

namespace {

using Ids = std::vector<int32_t>;

struct Place {
  explicit Place(const json& value = tiny_bpe()) { write_json(path, value); }

  TemporaryFolder folder;
  std::string path = folder / "tokenizer.json";
};

/// The tiny file with another text for the token that ends a document.
json with_end_token(const std::string& text) {
  json value = tiny_bpe();
  value["added_tokens"][0]["content"] = text;
  return value;
}

}  // namespace

TEST_CASE("A tokenizer.json gives ids and the text back", "[tokenizer]") {
  const Place place;
  const BpeTokenizer tokenizer(place.path);
  CHECK(tokenizer.vocab_size() == kBpeVocabulary);
  CHECK(tokenizer.encode("").empty());
  CHECK(tokenizer.encode("hello world") == Ids{kHello, kSpaceWor, 'l', 'd'});
  CHECK(tokenizer.encode("hell\u00e9") == Ids{258, 0xC3, 0xA9});
  for (const char* const text :
       {"hello world", " two  spaces\n", "\u00e9\U0001F600", "a<|im_end|>b"})
    CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
}

TEST_CASE("Special tokens are recognised unless somebody typed them", "[tokenizer]") {
  const Place place;
  const BpeTokenizer tokenizer(place.path);
  CHECK(tokenizer.encode("hello<|im_end|>") == Ids{kHello, kEndOfTurn});
  const Ids typed = tokenizer.encode_ordinary("hello<|im_end|>");
  CHECK(typed.size() == 1 + 10);
  CHECK(tokenizer.decode(typed) == "hello<|im_end|>");
  CHECK(tokenizer.special_id("<|im_end|>") == kEndOfTurn);
  CHECK(!tokenizer.special_id("hello"));
}

TEST_CASE("Invalid bytes count as U+FFFD in both directions", "[tokenizer]") {
  const Place place;
  const BpeTokenizer tokenizer(place.path);
  CHECK(tokenizer.encode("a\xFF") == Ids{'a', 0xEF, 0xBF, 0xBD});
  CHECK(tokenizer.decode({'a', 0xF0, 0x9F, 'b'}) == "a\uFFFDb");
  CHECK(tokenizer.decode({0xF0, 0x9F, 0x98, 0x80}) == "\U0001F600");
}

TEST_CASE("A tokenizer.json refuses to decode ids that are not its own", "[tokenizer]") {
  const Place place;
  const BpeTokenizer tokenizer(place.path);
  CHECK_CONTAINS(user_error_of([&] { tokenizer.decode({kBpeVocabulary}); }), "265 is outside");
  CHECK_CONTAINS(user_error_of([&] { tokenizer.decode({-1}); }), "-1 is outside");
}

TEST_CASE("EOS is what ends a text of pretraining, else what the config beside says",
          "[tokenizer]") {
  const auto eos_of = [](const json& value, const json& config) {
    const Place place(value);
    if (!config.is_null()) write_json(place.folder / "tokenizer_config.json", config);
    return BpeTokenizer(place.path).eos_id();
  };
  const json turn = {{"eos_token", "<|im_end|>"}};
  CHECK(eos_of(tiny_bpe(), nullptr) == kEndOfText);
  CHECK(eos_of(tiny_bpe(), turn) == kEndOfText);
  CHECK(eos_of(with_end_token("<|end_of_text|>"), turn) == kEndOfText);
  CHECK(eos_of(with_end_token("<|other|>"), nullptr) == -1);
  CHECK(eos_of(with_end_token("<|other|>"), turn) == kEndOfTurn);
  CHECK(eos_of(with_end_token("<|other|>"), {{"eos_token", {{"content", "<|other|>"}}}}) ==
        kEndOfText);
  CHECK(eos_of(with_end_token("<|other|>"), {{"eos_token", nullptr}}) == -1);
  CHECK_CONTAINS(user_error_of([&] {
                   eos_of(with_end_token("<|x|>"), {{"eos_token", 3}});
                 }),
                 "tokenizer_config.json: eos_token is no text");
}

TEST_CASE("The kind of a tokenizer is seen by its file", "[tokenizer]") {
  const Place place;
  CHECK(load_tokenizer(place.path)->vocab_size() == kBpeVocabulary);
  write_json(place.folder / "another name", tiny_bpe());
  CHECK(load_tokenizer(place.folder / "another name")->vocab_size() == kBpeVocabulary);
  write_text_file(place.folder / "cut.json", tiny_bpe().dump().substr(0, 1000));
  CHECK_CONTAINS(user_error_of([&] { load_tokenizer(place.folder / "cut.json"); }),
                 "cut.json: is not JSON");
  write_text_file(place.folder / "empty.json", "");
  CHECK_CONTAINS(user_error_of([&] { load_tokenizer(place.folder / "empty.json"); }),
                 "is not JSON");
}

TEST_CASE("The fingerprint of a tokenizer.json is of the file's bytes", "[tokenizer]") {
  const Place one, same, other(with_end_token("<|other|>"));
  CHECK(BpeTokenizer(one.path).fingerprint() == BpeTokenizer(same.path).fingerprint());
  CHECK(BpeTokenizer(one.path).fingerprint() != BpeTokenizer(other.path).fingerprint());
}

TEST_CASE("Several threads get the ids that one gets", "[tokenizer]") {
  const Place place;
  const BpeTokenizer tokenizer(place.path);
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "hello" + std::to_string(i) + " world<|im_end|>\n";
  const Ids expected = tokenizer.encode(text);
  std::vector<Ids> seen(4);
  std::vector<std::thread> threads;
  for (Ids& ids : seen) threads.emplace_back([&] { ids = tokenizer.encode(text); });
  for (std::thread& thread : threads) thread.join();
  for (const Ids& ids : seen) CHECK(ids == expected);
}
