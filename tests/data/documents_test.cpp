#include "data/documents.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <zstd.h>

#include <filesystem>

#include "core/files.h"
#include "data/line_reader.h"
#include "tests/support/catch.h"
#include "tests/support/child_process.h"
#include "tests/support/compressed.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

using Documents = std::vector<std::pair<std::string, std::string>>;

Documents documents_of(const std::string& path, const std::string& text_field = "text") {
  Documents documents;
  for_each_document(path, text_field, [&](const std::string& name, std::string&& text) {
    documents.emplace_back(name, std::move(text));
  });
  return documents;
}

std::string error_of(const std::string& path) {
  return user_error_of([&] { documents_of(path); });
}

}  // namespace

TEST_CASE("A text file is one document", "[data]") {
  const TemporaryFolder folder;
  write_text_file(folder / "a.txt", "one\ntwo\n");
  CHECK(documents_of(folder / "a.txt") == Documents{{"a.txt", "one\ntwo\n"}});
}

TEST_CASE("A folder gives its files in the order of their relative names", "[data]") {
  const TemporaryFolder folder;
  folder.make("sub");
  write_text_file(folder / "b.txt", "b");
  write_text_file(folder / "a.md", "a");
  write_text_file(folder / "Z.txt", "Z");
  write_text_file(folder / "sub/x.txt", "x");
  write_text_file(folder / "c.jsonl", "{\"text\": \"c1\"}\n{\"text\": \"c2\"}");
  write_text_file(folder / ".hidden", "no");
  write_text_file(folder / "b.txt.0123.tokens", "ours");
  const Documents expected{{"Z.txt", "Z"},      {"a.md", "a"},       {"b.txt", "b"},
                           {"c.jsonl:1", "c1"}, {"c.jsonl:2", "c2"}, {"sub/x.txt", "x"}};
  CHECK(documents_of(folder.path()) == expected);
  CHECK(documents_of(folder.path() + "/") == expected);
}

TEST_CASE("Each record of a JSONL file is a document and blank lines are none", "[data]") {
  const TemporaryFolder folder;
  write_text_file(folder / "a.jsonl",
                  "{\"text\": \"x \\u00e9\", \"id\": 1}\r\n\n  \n{\"body\":2,\"text\":\"\"}\n");
  CHECK(documents_of(folder / "a.jsonl") ==
        Documents{{"a.jsonl:1", "x \u00e9"}, {"a.jsonl:4", ""}});
  write_text_file(folder / "b.jsonl", "{\"body\": \"y\"}");
  CHECK(documents_of(folder / "b.jsonl", "body") == Documents{{"b.jsonl:1", "y"}});
}

TEST_CASE("A compressed JSONL file reads like a plain one, in several frames too", "[data]") {
  const TemporaryFolder folder;
  std::string first, second;
  Documents expected;
  for (int i = 1; i <= 20000; ++i) {
    const std::string text = "record " + std::to_string(i * 7919);
    (i <= 9000 ? first : second) += "{\"text\": \"" + text + "\"}\n";
    expected.emplace_back("a.jsonl.zst:" + std::to_string(i), text);
  }
  write_text_file(folder / "a.jsonl.zst", compressed(first) + compressed(second));
  CHECK(documents_of(folder / "a.jsonl.zst") == expected);
}

TEST_CASE("A damaged or cut compressed file is refused", "[data]") {
  const TemporaryFolder folder;
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += "{\"text\": \"" + std::to_string(i * i) + "\"}\n";
  const std::string good = compressed(lines);
  write_text_file(folder / "cut.jsonl.zst", good.substr(0, good.size() - 5));
  CHECK_CONTAINS(error_of(folder / "cut.jsonl.zst"), "cut off");
  write_text_file(folder / "text.jsonl.zst", lines);
  CHECK_CONTAINS(error_of(folder / "text.jsonl.zst"), "damaged zstd file");
  write_text_file(folder / "empty.jsonl.zst", "");
  CHECK_CONTAINS(error_of(folder / "empty.jsonl.zst"), "holds no records");
}

TEST_CASE("Errors of documents name the file and the place", "[data]") {
  const TemporaryFolder folder;
  const auto error_for = [&](const std::string& name, const std::string& content) {
    write_text_file(folder / name, content);
    return error_of(folder / name);
  };
  CHECK_CONTAINS(error_of(folder / "none.txt"), "none.txt: no such file");
  CHECK_CONTAINS(error_for("empty.txt", ""), "empty.txt: the file is empty");
  CHECK_CONTAINS(error_for("latin1.txt", "caf\xE9 au lait"), "byte 3 of the text is not UTF-8");
  CHECK_CONTAINS(error_for("a.pdf", "x"), "unknown kind of file");
  CHECK_CONTAINS(error_for("empty.jsonl", "\n \n"), "holds no records");
  CHECK_CONTAINS(error_for("a.jsonl", "{\"text\":\"x\"}\n{\"text\": oops}\n"),
                 "a.jsonl:2: is not JSON (at byte 10)");
  CHECK_CONTAINS(error_for("b.jsonl", "{\"text\":\"x\"}\n{\"txt\": \"y\"}"),
                 "b.jsonl:2: the record has no key 'text'");
  CHECK_CONTAINS(error_for("c.jsonl", "{\"text\": 5}"), "holds no text but number");
  CHECK_CONTAINS(error_for("d.jsonl", "[1]"), "d.jsonl:1: not a JSON object but array");
  CHECK_CONTAINS(error_for("e.jsonl", "{\"text\":\"x\"}\n{\"text\":\"\xFF\"}"),
                 "e.jsonl:2: byte 22 of the text is not UTF-8");
  CHECK_CONTAINS(error_for("f.jsonl", "{\"text\": \"\\ud800\"}"), "f.jsonl:1: is not JSON");
  CHECK_CONTAINS(error_of(folder.make("hollow")), "the folder holds no documents");
}

TEST_CASE("A look at a file refuses what its beginning tells, and reads no further", "[data]") {
  TemporaryFolder folder;
  const auto look = [&](const std::string& name, const std::string& text) {
    write_text_file(folder / name, text);
    return user_error_of([&] { look_at_documents(folder / name, "text"); });
  };
  CHECK_CONTAINS(look("a.txt", ""), "a.txt: the file is empty");
  CHECK_CONTAINS(look("a.txt", "\xE4"), "a.txt: byte 0 of the text is not UTF-8");
  CHECK_CONTAINS(look("a.jsonl", "\n\n"), "a.jsonl: holds no records");
  CHECK_CONTAINS(look("a.jsonl", "\n{\"story\": \"x\"}\n"),
                 "a.jsonl:2: the record has no key 'text'");
  write_text_file(folder / "b.jsonl", "{\"text\": \"x\"}\nno record\n");
  look_at_documents(folder / "b.jsonl", "text");
  // The 65,536 bytes that are read end within a character.
  const std::string long_text = std::string(65535, 'a') + "\xC3\xA4";
  write_text_file(folder / "b.txt", long_text + "\xE4");
  look_at_documents(folder / "b.txt", "text");
  CHECK_CONTAINS(error_of(folder / "b.txt"), "b.txt: byte 65537 of the text is not UTF-8");
}

TEST_CASE("Sources that are no regular files are refused at once", "[data]") {
  const TemporaryFolder folder;
  for (const std::string name : {"a.txt", "b.jsonl", "c.jsonl.zst"}) {
    REQUIRE(mkfifo((folder / name).c_str(), 0600) == 0);
    CHECK_CONTAINS(error_of(folder / name), name + ": is not a regular file but a FIFO");
  }
  CHECK_CONTAINS(error_of(folder.path()), "is not a regular file but a FIFO");
  CHECK_CONTAINS(error_of(folder / (std::string(300, 'n') + ".txt")), "cannot be looked up");
}

TEST_CASE("A line that is too long is refused with its number", "[data]") {
  const TemporaryFolder folder;
  const std::string lines = "short\n" + std::string(5000, 'x') + "\n";
  write_text_file(folder / "plain", lines);
  write_text_file(folder / "packed.zst", compressed(lines));
  for (const std::string name : {"plain", "packed.zst"}) {
    LineReader reader(folder / name, /*max_line_bytes=*/4999);
    std::string line;
    CHECK(reader.next(&line));
    CHECK_CONTAINS(user_error_of([&] { reader.next(&line); }),
                   name + ":2: the line is longer than 4999 bytes");
  }
}

TEST_CASE("A small zstd file with a huge line does not fill the memory", "[data]") {
  const TemporaryFolder folder;
  // A third of a gigabyte of zeros that compress to some kilobytes.
  const std::string megabytes(size_t{64} << 20, '0');
  std::string packed;
  for (int i = 0; i < 5; ++i) packed += compressed(megabytes);
  REQUIRE(packed.size() < 100'000);
  write_text_file(folder / "bomb.jsonl.zst", packed);
  CHECK_CONTAINS(error_of(folder / "bomb.jsonl.zst"),
                 "bomb.jsonl.zst:1: the line is longer than 268435456 bytes");
#if !defined(__SANITIZE_ADDRESS__)  // which reserves more addresses than any limit allows
  const ChildResult result = run_in_child([&] {
    const rlimit limit = {size_t{300} << 20, size_t{300} << 20};
    setrlimit(RLIMIT_AS, &limit);
    for_each_document(folder / "bomb.jsonl.zst", "text", [](const std::string&, std::string&&) {});
  });
  CHECK(result.exit_code == 99);
  CHECK_CONTAINS(result.err, "bomb.jsonl.zst:1: not enough memory for this line");
#endif
}

TEST_CASE("A folder with a file that is no document is refused, not half read", "[data]") {
  const TemporaryFolder folder;
  write_text_file(folder / "a.txt", "a");
  write_text_file(folder / "notes.csv", "1,2");
  CHECK_CONTAINS(error_of(folder.path()), "notes.csv: not a document");
}

TEST_CASE("A folder that links to itself is refused", "[data]") {
  const TemporaryFolder folder;
  write_text_file(folder / "a.txt", "a");
  std::filesystem::create_directory_symlink(".", folder / "loop");
  CHECK_CONTAINS(error_of(folder.path()), "folders deep");
}

TEST_CASE("A line reader counts lines and bytes and stops at a line that is too long", "[data]") {
  const TemporaryFolder folder;
  // The second line crosses the reader's buffer of 1 MiB.
  const std::string big(3 << 20, 'x');
  write_text_file(folder / "a", "one\n" + big + "\n\nlast");
  LineReader reader(folder / "a");
  std::string line;
  REQUIRE(reader.next(&line));
  CHECK((line == "one" && reader.line_number() == 1 && reader.line_offset() == 0));
  REQUIRE(reader.next(&line));
  CHECK((line == big && reader.line_offset() == 4));
  REQUIRE(reader.next(&line));
  CHECK((line.empty() && reader.line_number() == 3));
  REQUIRE(reader.next(&line));
  CHECK((line == "last" && reader.line_offset() == 4 + big.size() + 2));
  CHECK_FALSE(reader.next(&line));

  LineReader limited(folder / "a", 1000);
  REQUIRE(limited.next(&line));
  CHECK_CONTAINS(user_error_of([&] { limited.next(&line); }),
                 ":2: the line is longer than 1000 bytes");
}
