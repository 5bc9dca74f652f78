#include "tokenizer/tokenizer_json.h"

#include <functional>

#include "tests/support/catch.h"
#include "tests/support/tiny_bpe.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;
using nlohmann::json;

namespace {

TokenizerParts read(const json& value) { return read_tokenizer_json(value.dump(), "t.json"); }

/// What is said of the tiny file after a change.
std::string refusal(const std::function<void(json&)>& change) {
  json value = tiny_bpe();
  change(value);
  return user_error_of([&] { read(value); });
}

/// That of one member, named by its pointer, with another value.
std::string refusal(const std::string& pointer, const json& value) {
  return refusal([&](json& file) { file[json::json_pointer(pointer)] = value; });
}

json split(const std::string& pattern, const std::string& behavior = "Isolated") {
  return {{"type", "Split"},
          {"pattern", {{"Regex", pattern}}},
          {"behavior", behavior},
          {"invert", false}};
}

const json kByteLevel = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};

json in_sequence(const json& step) {
  return {{"type", "Sequence"}, {"pretokenizers", {step, kByteLevel}}};
}

/// A template of tokens and the text "A".
json bos_template(const std::vector<std::string>& pieces) {
  json single = json::array(), tokens = json::object();
  for (const std::string& piece : pieces) {
    single.push_back(
        {{piece == "A" ? "Sequence" : "SpecialToken", {{"id", piece}, {"type_id", 0}}}});
    if (piece != "A") tokens[piece] = {{"id", piece}, {"ids", {kEndOfText}}, {"tokens", {piece}}};
  }
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", json::array()},
          {"special_tokens", tokens}};
}

}  // namespace

TEST_CASE("A tokenizer.json is read whole", "[tokenizer]") {
  const TokenizerParts parts = read(tiny_bpe());
  CHECK(parts.vocabulary.merges.size() == 7);
  CHECK(parts.decoded.size() == kBpeVocabulary);
  CHECK(parts.decoded[kSpaceWor] == " wor");
  CHECK(parts.decoded[kEndOfTurn] == "<|im_end|>");
  CHECK(parts.added.size() == 2);
  CHECK(parts.steps.size() == 1);
  CHECK(parts.bos == -1);
}

TEST_CASE("Kinds of parts that are not done here are refused by name", "[tokenizer]") {
  CHECK_CONTAINS(refusal("/model/type", "WordPiece"), "t.json: model: the model WordPiece is not");
  CHECK_CONTAINS(refusal("/model/type", "Unigram"), "Unigram");
  CHECK_CONTAINS(refusal("/normalizer", {{"type", "NFC"}}), "the normalizer NFC is not");
  CHECK_CONTAINS(refusal("/pre_tokenizer", {{"type", "Metaspace"}}), "the pre-tokenizer Metaspace");
  CHECK_CONTAINS(refusal("/pre_tokenizer", in_sequence({{"type", "Punctuation"}})), "Punctuation");
  CHECK_CONTAINS(refusal("/decoder", {{"type", "WordPiece"}}), "the decoder WordPiece is not");
  CHECK_CONTAINS(refusal("/post_processor", {{"type", "BertProcessing"}}), "BertProcessing");
  CHECK_CONTAINS(refusal("/version", "2.0"), "the version 2.0");
  // What to do instead.
  CHECK_CONTAINS(refusal("/model/type", "WordPiece"), "--prompt-ids");
}

TEST_CASE("Options that would change ids are refused by name", "[tokenizer]") {
  CHECK_CONTAINS(refusal("/model/dropout", 0.1), "model.dropout: dropout makes");
  CHECK_CONTAINS(refusal("/model/byte_fallback", true), "byte_fallback is not supported");
  CHECK_CONTAINS(refusal("/model/continuing_subword_prefix", "##"), "continuing_subword_prefix");
  CHECK_CONTAINS(refusal("/model/end_of_word_suffix", "</w>"), "end_of_word_suffix");
  CHECK_CONTAINS(refusal("/pre_tokenizer", in_sequence(split("a", "Twice"))), "behavior Twice");
  CHECK_CONTAINS(refusal("/pre_tokenizer", in_sequence(split("a$"))), "the anchor $");
  CHECK_CONTAINS(refusal("/pre_tokenizer", split("a")), "there is no step ByteLevel");
  CHECK_CONTAINS(refusal("/pre_tokenizer", nullptr), "there is no step ByteLevel");
  json wrong_way = in_sequence(split("a"));
  std::swap(wrong_way["pretokenizers"][0], wrong_way["pretokenizers"][1]);
  CHECK_CONTAINS(refusal("/pre_tokenizer", wrong_way), "Split behind ByteLevel");
}

TEST_CASE("Options that change nothing are taken", "[tokenizer]") {
  json value = tiny_bpe();
  value["model"]["dropout"] = 0.0;
  value["model"]["continuing_subword_prefix"] = "";
  value["model"]["unk_token"] = "none, and none is needed: every byte has a token";
  value["truncation"] = {{"max_length", 5}};  // of training; tools cut where they say so
  CHECK(read(value).vocabulary.unknown == -1);
  value["model"].erase("type");  // as in the first files
  read(value);
}

TEST_CASE("A template gives the BOS token", "[tokenizer]") {
  json value = tiny_bpe();
  value["post_processor"] = bos_template({"<|endoftext|>", "A"});
  CHECK(read(value).bos == kEndOfText);
  value["post_processor"] = {
      {"type", "Sequence"},
      {"processors", {{{"type", "ByteLevel"}, {"trim_offsets", true}}, value["post_processor"]}}};
  CHECK(read(value).bos == kEndOfText);
  value["post_processor"] = bos_template({"A"});
  CHECK(read(value).bos == -1);
  CHECK_CONTAINS(refusal("/post_processor", bos_template({"A", "</s>"})), "behind the text");
  CHECK_CONTAINS(refusal("/post_processor", bos_template({"<s>", "<t>", "A"})), "two tokens");
}

TEST_CASE("A vocabulary that contradicts itself is refused", "[tokenizer]") {
  CHECK_CONTAINS(refusal("/model/vocab/he", 255), "gives the id 255 to");
  CHECK_CONTAINS(refusal("/model/vocab/he", -1), "model.vocab.he is no whole number");
  CHECK_CONTAINS(refusal("/model/vocab/he", 1.5), "no whole number");
  CHECK_CONTAINS(refusal("/model/vocab/he", 4'000'000'000), "no whole number from 0 to 4194303");
  CHECK_CONTAINS(refusal("/model/vocab", json::object()), "needs the token");
  CHECK_CONTAINS(refusal("/model/merges/0", {"h", "z"}), "needs the token \"hz\"");
  CHECK_CONTAINS(refusal("/model/merges/0", "h e y"), "model.merges[0] is no pair");
  CHECK_CONTAINS(refusal("/model/merges/0", {"h"}), "model.merges[0] is no pair");
  CHECK_CONTAINS(refusal("/added_tokens/1/id", kEndOfTurn + 1), "is token 264 when counted on");
  CHECK_CONTAINS(refusal("/added_tokens/1/content", "he"), "is token 256 of model.vocab");
  CHECK_CONTAINS(refusal("/added_tokens/1/content", "<|endoftext|>"), "a second time");
  CHECK_CONTAINS(refusal("/added_tokens/1/content", ""), "empty content");
  CHECK_CONTAINS(refusal([](json& file) { file["added_tokens"][0].erase("lstrip"); }),
                 "added_tokens[0].lstrip is neither true nor false");
}

TEST_CASE("A message shows only the beginning of a long name", "[tokenizer]") {
  const std::string line = refusal("/model/type", std::string(1'000'000, 'x'));
  CHECK(line.size() < 1500);
}

TEST_CASE("A byte without a token needs the unknown token that is named", "[tokenizer]") {
  json value = tiny_bpe();
  value["model"]["vocab"].erase("z");
  value["model"]["vocab"]["?unknown?"] = 'z';
  value["model"]["unk_token"] = "?unknown?";
  CHECK(read(value).vocabulary.unknown == 'z');
  value["model"]["unk_token"] = "?";
  CHECK(read(value).vocabulary.unknown == '?');
  value["model"]["unk_token"] = "nowhere";
  CHECK_CONTAINS(user_error_of([&] { read(value); }), "unk_token is no token");
}
