#include "tokenizer/byte_alphabet.h"

#include <set>

#include "tests/support/catch.h"

using namespace lococo;

TEST_CASE("Every byte has a character of its own, and gets the byte back", "[tokenizer]") {
  std::set<std::string> characters;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string& character = byte_alphabet()[byte];
    characters.insert(character);
    CHECK(bytes_of_token(character) == std::string(1, static_cast<char>(byte)));
  }
  CHECK(characters.size() == 256);
}

TEST_CASE("The alphabet is GPT-2's", "[tokenizer]") {
  CHECK(byte_alphabet()['a'] == "a");
  CHECK(byte_alphabet()[' '] == "\u0120");
  CHECK(byte_alphabet()['\n'] == "\u010A");
  CHECK(byte_alphabet()[0x7F] == "\u0121");
  CHECK(byte_alphabet()[0xAD] == "\u0143");
  CHECK(byte_alphabet()[0xFF] == "\u00FF");
  CHECK(bytes_of_token("\u0120caf\u00C3\u00A9") == " caf\u00E9");
}

TEST_CASE("A text with other characters stands for no bytes", "[tokenizer]") {
  CHECK(!bytes_of_token("two words"));
  CHECK(!bytes_of_token("\u0144"));
  CHECK(!bytes_of_token("\u00AD"));
  CHECK(!bytes_of_token("\u20AC"));
  CHECK(!bytes_of_token("\U0001F600"));
  CHECK(bytes_of_token("") == "");
}
