#include <nlohmann/json.hpp>

#include "core/files.h"
#include "records/json_records.h"
#include "records/record_messages.h"
#include "tests/support/catch.h"
#include "tests/support/compressed.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

struct Places {
  TemporaryFolder folder;

  /// "LINE:KEYS ..." of the file's records.
  std::string of(const std::string& content, const std::string& name = "a.json") {
    const std::string path = folder / name;
    write_text_file(path, content);
    std::string text;
    for_each_json_record(path, [&](const nlohmann::json& record, const std::string& place) {
      text += place.substr(path.size() + 1);
      for (const auto& item : record.items()) text += item.key();
      text += " ";
    });
    return text;
  }

  std::string error_of(const std::string& content, const std::string& name = "a.json") {
    return user_error_of([&] { of(content, name); }).substr(folder.path().size() + 1);
  }
};

std::string problem_of(const std::string& json) {
  return user_error_of([&] { record_messages(nlohmann::json::parse(json), "a.json:3"); });
}

}  // namespace

TEST_CASE("records are read from a list and from lines", "[records]") {
  Places places;
  CHECK(places.of(R"([{"a": 1}, {"b": "]}\"{"}, {"c": [{"x": {}}]}])") == "1a 1b 1c ");
  CHECK(places.of("\n[\n  {\n\"a\": 1},\n\n {\"b\": \"\\\\\"}\n]\n") == "3a 6b ");
  CHECK(places.of("{\"a\": 1}\n\n{\"b\": 2}", "a.jsonl") == "1a 3b ");
  CHECK(places.of("{\"a\": 1}\n{\"b\": 2}\n", "a.json") == "1a 2b ");
}

TEST_CASE("a list of records may be longer than what is read at once", "[records]") {
  Places places;
  std::string list = "[", expected;
  for (int line = 1; line <= 3000; ++line) {
    list += (line > 1 ? ",\n" : "") + ("{\"a\": \"" + std::string(1000, 'x') + "\"}");
    expected += std::to_string(line) + "a ";
  }
  REQUIRE(list.size() > size_t{2} << 20);
  CHECK(places.of(list + "]") == expected);
  CHECK_CONTAINS(
      places.error_of(list + ",\n{\"a\": \"\xFF\"}]"),
      "a.json:3001: byte " + std::to_string(list.size() + 9) + " of the text is not UTF-8");
}

TEST_CASE("records are read behind a byte order mark", "[records]") {
  Places places;
  const std::string mark = "\xEF\xBB\xBF";
  CHECK(places.of(mark + "[{\"a\": 1},\r\n{\"b\": 2}]\r\n") == "1a 2b ");
  CHECK(places.of(mark + " \n[{\"a\": 1}]") == "2a ");
  CHECK(places.of(mark + "{\"a\": 1}\n{\"b\": 2}\n", "a.jsonl") == "1a 2b ");
  CHECK_CONTAINS(places.error_of(mark + "[{\"a\": \"\xFF\"}]"), "a.json:1: byte 11 of the text");
  CHECK_CONTAINS(places.error_of(mark), "a.json:");
  CHECK_CONTAINS(places.error_of("[" + mark + "{}]"), "a.json:1: a record should begin here");
}

TEST_CASE("a compressed list of records reads like a plain one", "[records]") {
  Places places;
  const std::string name = "a.json.zst", mark = "\xEF\xBB\xBF";
  CHECK(places.of(compressed("[{\"a\": 1},\n{\"b\": 2}]"), name) == "1a 2b ");
  CHECK(places.of(compressed("{\"a\": 1}\n{\"b\": 2}"), name) == "1a 2b ");
  // As programs that compress in parts leave it.
  CHECK(places.of(compressed("\xEF") + compressed("\xBB\xBF[{\"a\": 1},") + compressed("\n{}]"),
                  name) == "1a 2 ");
  std::string list = mark + "[", expected;
  for (int i = 0; i < 3000; ++i) {
    list += (i > 0 ? "," : "") + ("{\"a\": \"" + std::string(1000, 'x') + "\"}");
    expected += "1a ";
  }
  const std::string good = compressed(list + "]");
  CHECK(places.of(good, name) == expected);
  CHECK_CONTAINS(places.error_of(good.substr(0, good.size() - 5), name), "cut off");
  CHECK_CONTAINS(places.error_of("[{\"a\": 1}]", name), "damaged zstd file");
}

TEST_CASE("a broken file of records is refused with its line", "[records]") {
  Places places;
  CHECK(places.error_of("[{\"a\": 1},\n {\"b\": }]") == "a.json:2: is not JSON (at byte 7)");
  CHECK(places.error_of("{\"a\": 1}\n{\"b\"\n", "a.jsonl") ==
        "a.jsonl:2: is not JSON (at byte 5): it does not end in its line; of JSONL each line holds "
        "one "
        "record");
  CHECK(places.error_of("[{\"a\": 1}\n {\"b\": 1}]") ==
        "a.json:2: a comma or the end of the list should stand here");
  CHECK_CONTAINS(places.error_of("[{\"a\": 1},\n{\"b\": \"x"), "a.json:2: the record does not end");
  CHECK_CONTAINS(places.error_of("[{\"a\": 1},\n"), "a.json:2: the list does not end");
  CHECK_CONTAINS(places.error_of("[{\"a\": 1}]\n x"), "a.json:2: something stands behind the list");
  CHECK_CONTAINS(places.error_of("[1]"), "a.json:1: a record should begin here");
  CHECK_CONTAINS(places.error_of("[]"), "a.json: holds no records");
  CHECK_CONTAINS(places.error_of(""), "a.json: holds no records");
  CHECK_CONTAINS(places.error_of("{}\n{\"a\": \"\xFF\"}\n", "a.jsonl"),
                 "a.jsonl:2: byte 10 of the text is not UTF-8");
  CHECK_CONTAINS(user_error_of([&] { for_each_json_record(places.folder.path(), {}); }),
                 "is not a regular file but a folder");
  CHECK_CONTAINS(places.error_of("3\n"), "a.json:1: not a JSON object but number");
  CHECK_CONTAINS(places.error_of("[{\"a\": \"\xFF\"}]"),
                 "a.json:1: byte 8 of the text is not UTF-8");
}

TEST_CASE("an instruction with its input and a conversation become messages", "[records]") {
  const auto plain = record_messages(
      nlohmann::json::parse(R"({"instruction": "One.\nTwo.\n Three? \n", "output": "x", "z": 1})"),
      "");
  REQUIRE(plain.size() == 2);
  CHECK((plain[0].role == ChatRole::kUser));
  CHECK(plain[0].content == "One.\nTwo.\n Three? \n");
  CHECK(plain[0].document_begin == 0);
  CHECK(plain[0].document_end == 10);  // the last line is the question
  CHECK((plain[1].role == ChatRole::kAssistant));
  CHECK(plain[1].content == "x");
  const auto with_input = record_messages(
      nlohmann::json::parse(R"({"instruction": "Sum up.", "input": "a\nb", "output": "x"})"), "");
  CHECK(with_input[0].content == "Sum up.\na\nb");
  CHECK(with_input[0].document_begin == 8);
  CHECK(with_input[0].document_end == 11);
  const auto messages =
      record_messages(nlohmann::json::parse(R"({"messages": [{"role": "system", "content": "s"},
        {"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]})"),
                      "");
  REQUIRE(messages.size() == 3);
  CHECK((messages[0].role == ChatRole::kSystem));
  CHECK(messages[1].document_end == 0);
}

TEST_CASE("a record that nothing can be learned from is refused", "[records]") {
  CHECK(problem_of(R"({"text": "x"})") ==
        "a.json:3: the record has neither \"instruction\" and \"output\" nor \"messages\"");
  CHECK(problem_of(R"({"instruction": "x"})") == "a.json:3: the record has no \"output\"");
  CHECK_CONTAINS(problem_of(R"({"instruction": "x", "output": " \n"})"), "\"output\" is empty");
  CHECK_CONTAINS(problem_of(R"({"instruction": "", "output": "x"})"), "\"instruction\" is empty");
  CHECK_CONTAINS(problem_of(R"({"instruction": ["x"], "output": "x"})"), "holds no text but array");
  CHECK_CONTAINS(problem_of(R"({"messages": [{"role": "human", "content": "x"}]})"),
                 "a.json:3: unknown role \"human\"; use system, user or assistant");
  CHECK_CONTAINS(problem_of(R"({"messages": [{"role": "user", "content": "x"}]})"),
                 "the last message is not the assistant's");
  CHECK_CONTAINS(problem_of(R"({"messages": []})"), "the last message is not the assistant's");
  CHECK_CONTAINS(problem_of(R"({"messages": [{"role": "assistant", "content": "x"}]})"),
                 "message 1 is the assistant's, but user and assistant speak in turn");
  CHECK_CONTAINS(problem_of(R"({"messages": [{"role": "user"}]})"), "has no \"content\"");
  CHECK_CONTAINS(problem_of(R"({"messages": [], "instruction": "x", "output": "y"})"),
                 "both \"messages\" and \"instruction\"; keep one");
  CHECK_CONTAINS(problem_of(R"({"messages": "x"})"), "\"messages\" holds no list but string");
  CHECK_CONTAINS(problem_of(R"({"messages": [{"role": "user", "content": "x"},
      {"role": "assistant", "content": ""}]})"),
                 "an answer of the assistant is empty");
}
