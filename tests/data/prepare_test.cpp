#include "data/prepare.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/files.h"
#include "core/log.h"
#include "tests/data/prepare_place.h"
#include "tests/data/token_samples.h"
#include "tests/support/catch.h"
#include "tests/support/child_process.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_bpe.h"
#include "tests/support/tiny_tokenizer.h"
#include "tests/support/user_error.h"
#include "tokenizer/sentencepiece_tokenizer.h"

using namespace lococo;
using namespace lococo::testing;
namespace fs = std::filesystem;

namespace {

/// When the file was made: a new one is a new inode.
uint64_t inode(const std::string& path) {
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  return info.st_ino;
}

}  // namespace

TEST_CASE("Preparing a folder gives BOS, ids, EOS of each document in name order", "[data]") {
  const PreparePlace place;
  const TokenFile file(place.prepare());
  file.verify_checksum();
  REQUIRE(file.num_documents() == 4);
  CHECK(file.document_name(0) == "a.txt");
  CHECK(file.document_name(1) == "b.txt");
  CHECK(file.document_name(2) == "c.jsonl:1");
  CHECK(document(file, 0) == framed("abc"));
  CHECK(document(file, 1) == framed("hello world"));
  CHECK(document(file, 2) == framed("xyz"));
  CHECK(document(file, 3) == framed(""));
  CHECK(file.vocab_size() == 30);
}

TEST_CASE("BOS and EOS are left out when the config says so", "[data]") {
  PreparePlace place;
  place.config.add_bos = false;
  CHECK(document(TokenFile(place.prepare()), 0) == std::vector<int32_t>{3, 4, 5, 6, 2});
  place.config.add_eos = false;
  CHECK(document(TokenFile(place.prepare()), 0) == std::vector<int32_t>{3, 4, 5, 6});
  CHECK(place.num_cached() == 2);  // other options do not push each other out
}

TEST_CASE("A prepared source is used again until something changes", "[data]") {
  const PreparePlace place;
  const std::string path = place.prepare();
  const uint64_t first = inode(path);
  CHECK(place.prepare() == path);
  CHECK(inode(path) == first);

  SECTION("a text of the same length at another time") {
    write_text_file(place.folder / "books/a.txt", "abd");
    fs::last_write_time(place.folder / "books/a.txt",
                        fs::file_time_type::clock::now() + std::chrono::seconds(5));
    CHECK(place.prepare() == path);
    CHECK(document(TokenFile(path), 0) == framed("abd"));
  }
  SECTION("a new text") {
    write_text_file(place.folder / "books/0.txt", "new");
    CHECK(place.prepare() == path);
    CHECK(TokenFile(path).num_documents() == 5);
  }
  SECTION("a renamed text") {
    fs::rename(place.folder / "books/a.txt", place.folder / "books/aa.txt");
    CHECK(place.prepare() == path);
    CHECK(TokenFile(path).document_name(0) == "aa.txt");
  }
  SECTION("a damaged token file") {
    write_text_file(path, read_text_file(path).substr(0, 120));
    CHECK(place.prepare() == path);
    TokenFile(path).verify_checksum();
  }
  SECTION("another tokenizer gets a file of its own") {
    write_tiny_tokenizer(place.folder / "t.model", /*with_bos=*/false);
    DataConfig config = place.config;
    config.add_bos = config.add_eos = false;
    CHECK(prepare_source(place.source, config, SentencePieceTokenizer(place.folder / "t.model")) !=
          path);
  }
}

TEST_CASE("Without a cache folder the token file lies beside the source", "[data]") {
  PreparePlace place;
  place.config.cache_dir = "";
  const std::string path = place.prepare();
  CHECK(fs::equivalent(fs::path(path).parent_path(), place.folder.path()));
  CHECK(fs::path(path).filename().string().starts_with("books."));
  // A file inside the folder leaves its token file there, which is no document of the folder.
  DataSource one;
  one.path = place.folder / "books/a.txt";
  prepare_source(one, place.config, SentencePieceTokenizer(place.folder / "t.model"));
  CHECK(TokenFile(place.prepare()).num_documents() == 4);
}

TEST_CASE("A source that cannot be written beside asks for a cache folder", "[data]") {
  PreparePlace place;
  place.config.cache_dir = "";
  fs::permissions(place.folder.path(), fs::perms(0555));
  const ChildResult result = run_in_child([&] {
    if (geteuid() == 0 && seteuid(65534) != 0) return;  // root may write everywhere
    place.prepare();
  });
  fs::permissions(place.folder.path(), fs::perms::owner_all);
  CHECK(result.exit_code == 99);
  CHECK_CONTAINS(result.err, place.source.path + ": its token file would lie beside it");
  CHECK_CONTAINS(result.err, "set data.cache_dir to a folder for token files");
}

TEST_CASE("Two processes that prepare one source make its token file once", "[data]") {
  PreparePlace place;
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += "abc xyz ";
  write_text_file(place.folder / "books/long.txt", text);
  const auto prepare = [&] {
    configure_log(LogLevel::kInfo, true);
    place.prepare();
  };
  const Child first = start_child(prepare);
  const Child second = start_child(prepare);
  const ChildResult results[] = {wait_for(first), wait_for(second)};
  int made = 0;
  for (const ChildResult& result : results) {
    INFO(result.err);
    CHECK(result.exit_code == 0);
    CHECK_CONTAINS(result.err, "5 documents");
    made += result.err.find("tokens/s") != std::string::npos ? 1 : 0;
  }
  CHECK(made == 1);
  CHECK(place.num_cached() == 1);
  TokenFile(place.prepare()).verify_checksum();
}

TEST_CASE("Preparing tells how much of the source has been read", "[data]") {
  const PreparePlace place;
  std::vector<uint64_t> seen;
  const SentencePieceTokenizer tokenizer(place.folder / "t.model");
  prepare_source(place.source, place.config, &tokenizer, [&](uint64_t done, uint64_t total) {
    CHECK(total == 11 + 3 + 29);
    seen.push_back(done);
  });
  CHECK(seen == std::vector<uint64_t>{3, 14, 43, 43});  // a buffer holds both lines of the JSONL
  seen.clear();
  prepare_source(place.source, place.config, &tokenizer,
                 [&](uint64_t done, uint64_t) { seen.push_back(done); });
  CHECK(seen.empty());  // nothing is left to do
}

TEST_CASE("A cache folder that is a file is refused by name", "[data]") {
  PreparePlace place;
  place.config.cache_dir = place.folder / "t.model";
  CHECK_CONTAINS(user_error_of([&] { place.prepare(); }), "t.model");
}

TEST_CASE("A bad document stops preparing and leaves no token file", "[data]") {
  const PreparePlace place;
  write_text_file(place.folder / "books/d.txt", "bad \xFF");
  CHECK_CONTAINS(user_error_of([&] { place.prepare(); }), "d.txt: byte 4 of the text is not UTF-8");
  CHECK(place.num_cached() == 0);
}

TEST_CASE("A token file as a source must be of the tokenizer", "[data]") {
  PreparePlace place;
  const std::string path = place.prepare();
  place.source.path = path;
  CHECK(place.prepare() == path);
  CHECK(prepare_source(place.source, place.config, nullptr) == path);
  place.source.path = write_tokens(place.folder / "other.tokens", {{1, 2}}, 30);
  CHECK_CONTAINS(user_error_of([&] { place.prepare(); }), "another tokenizer");
}

TEST_CASE("Text without a tokenizer and missing sources are refused", "[data]") {
  PreparePlace place;
  CHECK_CONTAINS(user_error_of([&] { prepare_source(place.source, place.config, nullptr); }),
                 "data.tokenizer");
  place.source.path = place.folder / "none";
  CHECK_CONTAINS(user_error_of([&] { place.prepare(); }), "none: no such file");
}

TEST_CASE("A tokenizer without BOS adds none, one without EOS must not be asked for it", "[data]") {
  PreparePlace place;
  write_tiny_tokenizer(place.folder / "t.model", /*with_bos=*/false);
  CHECK_CONTAINS(user_error_of([&] { place.prepare(); }), "data.add_eos");
  place.config.add_eos = false;
  CHECK(document(TokenFile(place.prepare()), 0) == tiny_ids("abc"));
}

TEST_CASE("Ids of a vocabulary above 65,536 are kept whole", "[data]") {
  constexpr int32_t kTokens = 128'256;  // Llama-3's
  PreparePlace place;
  nlohmann::json json = tiny_bpe();
  for (int32_t id = kEndOfText; id < kTokens - 1; ++id)
    json["model"]["vocab"]["t" + std::to_string(id)] = id;
  json["added_tokens"].erase(1);
  json["added_tokens"][0]["id"] = kTokens - 1;
  write_json(place.folder / "tokenizer.json", json);
  const auto tokenizer = load_tokenizer(place.folder / "tokenizer.json");
  CHECK(tokenizer->vocab_size() == kTokens);
  place.config.add_bos = false;
  const TokenFile file(prepare_source(place.source, place.config, *tokenizer));
  CHECK(document(file, 0) == std::vector<int32_t>{'a', 'b', 'c', kTokens - 1});
  CHECK(document(file, 1) == std::vector<int32_t>{kHello, kSpaceWor, 'l', 'd', kTokens - 1});
  CHECK(file.tokenizer_fingerprint() == tokenizer->fingerprint());
  CHECK(file.vocab_size() == kTokens);
}
