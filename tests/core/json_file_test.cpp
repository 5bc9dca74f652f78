#include "core/json_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <string>

#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using lococo::parse_json;
using lococo::testing::TemporaryFolder;
using lococo::testing::user_error_of;
using nlohmann::json;

namespace {

std::string error_of(const std::string& text) {
  return user_error_of([&] { parse_json(text, "x.json"); });
}

/// A number inside so many lists, or objects.
std::string nested(size_t depth, const std::string& open, const std::string& close) {
  std::string text;
  for (size_t i = 0; i < depth; ++i) text += open;
  text += "1";
  for (size_t i = 0; i < depth; ++i) text += close;
  return text;
}

}  // namespace

TEST_CASE("a pointer of Git LFS is told from broken JSON", "[core][json]") {
  CHECK_CONTAINS(
      error_of("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 2104556\n"),
      "x.json: is a pointer of Git LFS");
  CHECK_CONTAINS(error_of("version"), "x.json: is not JSON");
}

TEST_CASE("JSON of every kind is read as the library reads it", "[core][json]") {
  for (const std::string text :
       {"null", "true", "-7", "18446744073709551615", "1.5e-3", "\"a\\u00e9\\n\"", "[]", "{}",
        "[1,[2,[3]],{\"a\":[{}]},4]",
        "{\"b\":{\"x\":1,\"y\":{\"z\":[true,null]}},\"a\":[{\"k\":1},{\"k\":2}],\"c\":\"\"}"}) {
    INFO(text);
    CHECK(parse_json(text, "x.json") == json::parse(text));
  }
}

TEST_CASE("A hundred levels of JSON are read and the next is refused", "[core][json]") {
  CHECK(parse_json(nested(100, "[", "]"), "x") == json::parse(nested(100, "[", "]")));
  CHECK_CONTAINS(error_of(nested(101, "[", "]")), "x.json: is nested more than 100 levels deep");
  CHECK_CONTAINS(error_of(nested(101, "{\"a\":", "}")), "more than 100 levels");
  // Deep enough to run out of stack where a value is built and destroyed.
  CHECK_CONTAINS(error_of(nested(300'000, "[", "]")), "more than 100 levels");
  CHECK_CONTAINS(error_of(std::string(300'000, '[')), "more than 100 levels");
}

TEST_CASE("A key that occurs twice in one object is refused", "[core][json]") {
  CHECK(error_of("{\"a\": 1, \"b\": 2, \"a\": 1}") == "x.json: the name \"a\" occurs twice");
  CHECK_CONTAINS(error_of("{\"o\": {\"k\": [], \"k\": 3}}"), "the name \"k\" occurs twice");
  CHECK_CONTAINS(error_of("{\"a\": 1, \"\\u0061\": 2}"), "occurs twice");
  CHECK(parse_json("{\"a\": {\"a\": [{\"a\": 1}, {\"a\": 2}]}}", "x").size() == 1);
  const std::string long_key(1'000'000, 'k');
  CHECK(error_of("{\"" + long_key + "\": 1, \"" + long_key + "\": 2}").size() < 200);
}

TEST_CASE("What is not JSON is refused with its place and without an exception of the library",
          "[core][json]") {
  CHECK(error_of("{\"a\":") == "x.json: is not JSON (at byte 6)");
  for (const std::string text : {"", " ", "[1,]", "{\"a\" 1}", "[1] 2", "nul", "\"\\ud800\"",
                                 "\"\xff\"", "{1: 2}", "NaN", "'a'", "[1", "]"}) {
    INFO(text);
    CHECK_CONTAINS(error_of(text), "x.json: is not JSON (at byte ");
  }
  CHECK_CONTAINS(error_of("[1e999]"), "holds a number out of range");
}

TEST_CASE("What stands behind a NUL byte is not dropped", "[core][json]") {
  using namespace std::string_literals;
  for (const std::string& text : {"{}\0"s, "[1]\0[2]"s, "[1, \0 2]"s, "[\"a\0b\"]"s, "\0"s}) {
    const std::string at = std::to_string(text.find('\0') + 1);
    CHECK_CONTAINS(error_of(text), "x.json: holds a NUL byte (at byte " + at + ")");
    CHECK_CONTAINS(user_error_of([&] { lococo::parse_json_line(text, "x.jsonl:7"); }),
                   "x.jsonl:7: holds a NUL byte (at byte " + at + ")");
  }
}

TEST_CASE("A JSON file that is a FIFO or too large is refused at once", "[core][json]") {
  const TemporaryFolder folder;
  REQUIRE(mkfifo((folder / "pipe.json").c_str(), 0600) == 0);
  CHECK_CONTAINS(user_error_of([&] { lococo::read_json_file(folder / "pipe.json"); }),
                 "pipe.json: is not a regular file but a FIFO");
  lococo::write_text_file(folder / "list.json", "[]");
  CHECK_CONTAINS(user_error_of([&] { lococo::read_json_object(folder / "list.json"); }),
                 "list.json: is not a JSON object");
  lococo::write_text_file(folder / "large.json", "");
  REQUIRE(truncate((folder / "large.json").c_str(), 100'000'001) == 0);
  CHECK_CONTAINS(user_error_of([&] { lococo::read_json_file(folder / "large.json"); }),
                 "100000001 bytes long, more than");
}
