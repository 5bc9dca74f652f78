#include "tokenizer/added_tokens.h"

#include "tests/support/catch.h"

using namespace lococo;

namespace {

using Pieces = std::vector<std::string>;

AddedToken token(const std::string& content, int32_t id) {
  AddedToken made;
  made.content = content;
  made.id = id;
  return made;
}

/// Pieces of text as they are, tokens as #id.
Pieces split(const std::vector<AddedToken>& tokens, const std::string& text,
             bool ordinary = false) {
  Pieces pieces;
  AddedTokens(tokens).split(
      text, ordinary, [&](std::string_view piece) { pieces.emplace_back(piece); },
      [&](int32_t id) { pieces.push_back("#" + std::to_string(id)); });
  return pieces;
}

}  // namespace

TEST_CASE("The leftmost of the longest tokens is taken", "[tokenizer]") {
  const std::vector<AddedToken> tokens = {token("<a", 1), token("<a>", 2), token("<a><b>", 3),
                                          token("a>", 4)};
  CHECK(split(tokens, "x<a><b>y") == Pieces{"x", "#3", "y"});
  CHECK(split(tokens, "<a>a>") == Pieces{"#2", "#4"});
  CHECK(split(tokens, "<a<a>") == Pieces{"#1", "#2"});
  CHECK(split(tokens, "<").front() == "<");
  CHECK(split(tokens, "").empty());
  CHECK(split({}, "text") == Pieces{"text"});
}

TEST_CASE("A single word must stand alone", "[tokenizer]") {
  AddedToken word = token("it", 1);
  word.single_word = true;
  CHECK(split({word}, "it bit it, its\u00e9") == Pieces{"#1", " bit ", "#1", ", its\u00e9"});
  CHECK(split({word}, "\u00e9it it\u0301") == Pieces{"\u00e9it it\u0301"});
}

TEST_CASE("A token takes the white space along that it strips", "[tokenizer]") {
  AddedToken left = token("<l>", 1), right = token("<r>", 2);
  left.lstrip = true;
  right.rstrip = true;
  CHECK(split({left, right}, "a \u3000<l> b<r>\n c") == Pieces{"a", "#1", " b", "#2", "c"});
  CHECK(split({left, right}, "<r>  <l>") == Pieces{"#2", "#1"});
}

TEST_CASE("Tokens that are not normalized come first", "[tokenizer]") {
  AddedToken raw = token("bc", 1);
  raw.normalized = false;
  CHECK(split({raw, token("ab", 2)}, "abc ab") == Pieces{"a", "#1", " ", "#2"});
}

TEST_CASE("Special tokens are ordinary text when asked for", "[tokenizer]") {
  AddedToken special = token("<|end|>", 1);
  special.special = true;
  const std::vector<AddedToken> tokens = {special, token("end", 2)};
  CHECK(split(tokens, "a<|end|>b") == Pieces{"a", "#1", "b"});
  // As in tokenizers, what is passed over still hides the token within.
  CHECK(split(tokens, "a<|end|>end", true) == Pieces{"a<|end|>", "#2"});
  CHECK(AddedTokens(tokens).special_id("<|end|>") == 1);
  CHECK(!AddedTokens(tokens).special_id("end"));
}
