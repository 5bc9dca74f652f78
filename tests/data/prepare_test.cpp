#include "data/prepare.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/files.h"
#include "core/log.h"
#include "data/parallel_tokenizer.h"
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

/// A folder with a tokenizer, a source folder of three texts and a config that points at a cache.
struct Workplace {
  Workplace() {
    configure_log(LogLevel::kError, true);
    write_tiny_tokenizer(folder / "t.model");
    folder.make("books");
    write_text_file(folder / "books/b.txt", "hello world");
    write_text_file(folder / "books/a.txt", "abc");
    write_text_file(folder / "books/c.jsonl", "{\"text\": \"xyz\"}\n{\"text\": \"\"}\n");
    config.cache_dir = folder / "cache";
    source.path = folder / "books";
  }
  ~Workplace() { configure_log(LogLevel::kInfo, true); }

  std::string prepare() const {
    return prepare_source(source, config, SentencePieceTokenizer(folder / "t.model"));
  }
  size_t num_cached() const {
    size_t count = 0;
    for (const auto& entry : fs::directory_iterator(config.cache_dir))
      count += entry.exists() ? 1 : 0;
    return count;
  }

  TemporaryFolder folder;
  DataConfig config;
  DataSource source;
};

std::vector<int32_t> document(const TokenFile& file, int64_t i) {
  std::vector<int32_t> ids;
  for (int64_t t = file.document_begin(i); t < file.document_end(i); ++t)
    ids.push_back(file.token(t));
  return ids;
}

std::vector<int32_t> framed(const std::string& text) {
  std::vector<int32_t> ids = text.empty() ? std::vector<int32_t>{} : tiny_ids(text);
  ids.insert(ids.begin(), 1);
  ids.push_back(2);
  return ids;
}

/// When the file was made: a new one is a new inode.
uint64_t inode(const std::string& path) {
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  return info.st_ino;
}

}  // namespace

TEST_CASE("Preparing a folder gives BOS, ids, EOS of each document in name order", "[data]") {
  const Workplace place;
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
  Workplace place;
  place.config.add_bos = false;
  CHECK(document(TokenFile(place.prepare()), 0) == std::vector<int32_t>{3, 4, 5, 6, 2});
  place.config.add_eos = false;
  CHECK(document(TokenFile(place.prepare()), 0) == std::vector<int32_t>{3, 4, 5, 6});
  CHECK(place.num_cached() == 2);  // other options do not push each other out
}

TEST_CASE("A prepared source is used again until something changes", "[data]") {
  const Workplace place;
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
  Workplace place;
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
  Workplace place;
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
  Workplace place;
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
  const Workplace place;
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
  Workplace place;
  place.config.cache_dir = place.folder / "t.model";
  CHECK_CONTAINS(user_error_of([&] { place.prepare(); }), "t.model");
}

TEST_CASE("A bad document stops preparing and leaves no token file", "[data]") {
  const Workplace place;
  write_text_file(place.folder / "books/d.txt", "bad \xFF");
  CHECK_CONTAINS(user_error_of([&] { place.prepare(); }), "d.txt: byte 4 is not UTF-8");
  CHECK(place.num_cached() == 0);
}

TEST_CASE("A token file as a source must be of the tokenizer", "[data]") {
  Workplace place;
  const std::string path = place.prepare();
  place.source.path = path;
  CHECK(place.prepare() == path);
  CHECK(prepare_source(place.source, place.config, nullptr) == path);
  place.source.path = write_tokens(place.folder / "other.tokens", {{1, 2}}, 30);
  CHECK_CONTAINS(user_error_of([&] { place.prepare(); }), "another tokenizer");
}

TEST_CASE("Text without a tokenizer and missing sources are refused", "[data]") {
  Workplace place;
  CHECK_CONTAINS(user_error_of([&] { prepare_source(place.source, place.config, nullptr); }),
                 "data.tokenizer");
  place.source.path = place.folder / "none";
  CHECK_CONTAINS(user_error_of([&] { place.prepare(); }), "none: no such file");
}

TEST_CASE("A tokenizer without BOS adds none, one without EOS must not be asked for it", "[data]") {
  Workplace place;
  write_tiny_tokenizer(place.folder / "t.model", /*with_bos=*/false);
  CHECK_CONTAINS(user_error_of([&] { place.prepare(); }), "data.add_eos");
  place.config.add_eos = false;
  CHECK(document(TokenFile(place.prepare()), 0) == tiny_ids("abc"));
}

TEST_CASE("Opening sources checks their tokens against the model's vocabulary", "[data]") {
  Workplace place;
  const SentencePieceTokenizer tokenizer(place.folder / "t.model");
  CHECK(open_sources({place.source}, place.config, &tokenizer, 30).size() == 1);
  CHECK_CONTAINS(user_error_of([&] { open_sources({place.source}, place.config, &tokenizer, 20); }),
                 "beyond the vocabulary of 20");
  const uint16_t ids[] = {5, 6, 7, 40, 3, 2, 1};
  write_text_file(place.folder / "raw.bin", std::string(reinterpret_cast<const char*>(ids), 14));
  DataSource raw;
  raw.path = place.folder / "raw.bin";
  CHECK_CONTAINS(user_error_of([&] { open_sources({raw}, place.config, nullptr, 50); }),
                 "data.raw_dtype");
  place.config.raw_dtype = RawTokenType::kUint16;
  CHECK(open_sources({raw}, place.config, nullptr, 50).front()->num_tokens() == 7);
  CHECK_CONTAINS(user_error_of([&] { open_sources({raw}, place.config, nullptr, 40); }),
                 "token 3 is id 40");
}

TEST_CASE("An opened dataset draws from text and raw tokens by weight", "[data]") {
  Workplace place;
  const SentencePieceTokenizer tokenizer(place.folder / "t.model");
  write_text_file(place.folder / "raw.bin", std::string(200, '\x05'));
  DataSource raw;
  raw.path = place.folder / "raw.bin";
  raw.weight = 3.0;
  place.config.raw_dtype = RawTokenType::kUint16;
  place.config.context_length = 8;
  const Dataset dataset = open_dataset({place.source, raw}, place.config, &tokenizer, 0x506);
  int64_t raw_sequences = 0;
  for (int64_t i = 0; i < 400; ++i) {
    const Sequence sequence = dataset.sequence(1, i);
    REQUIRE(sequence.tokens.size() == 9);
    if (sequence.source == 1) ++raw_sequences;
    CHECK((sequence.tokens[0] == 0x505) == (sequence.source == 1));
  }
  CHECK(raw_sequences == 300);
}

TEST_CASE("Parallel tokenising keeps the order of documents for any number of threads", "[data]") {
  const Workplace place;
  const SentencePieceTokenizer tokenizer(place.folder / "t.model");
  const int64_t threads = GENERATE(int64_t{1}, int64_t{5});
  std::vector<std::pair<std::string, std::vector<int32_t>>> got;
  ParallelTokenizer parallel(
      tokenizer, true, true,
      [&](const std::string& name, const std::vector<int32_t>& ids) {
        got.emplace_back(name, ids);
      },
      threads);
  std::vector<std::string> texts;
  for (int i = 0; i < 3000; ++i) {
    // Some are larger than a batch, so that later ones are ready before them.
    texts.emplace_back(i % 500 == 0 ? 400000 : i % 97, static_cast<char>('a' + i % 26));
    parallel.add(std::to_string(i), std::string(texts.back()));
  }
  parallel.finish();
  REQUIRE(got.size() == 3000);
  for (size_t i = 0; i < 3000; ++i) {
    REQUIRE(got[i].first == std::to_string(i));
    REQUIRE(got[i].second == framed(texts[i]));
  }
}

TEST_CASE("An exception of the sink leaves the parallel tokenizer without hanging", "[data]") {
  const Workplace place;
  const SentencePieceTokenizer tokenizer(place.folder / "t.model");
  ParallelTokenizer parallel(
      tokenizer, true, true,
      [](const std::string&, const std::vector<int32_t>&) { throw std::runtime_error("full"); }, 3);
  const auto add_all = [&] {
    for (int i = 0; i < 1000; ++i) parallel.add("x", std::string(100000, 'a'));
    parallel.finish();
  };
  CHECK_THROWS_WITH(add_all(), "full");
}

TEST_CASE("Ids of a vocabulary above 65,536 are kept whole", "[data]") {
  constexpr int32_t kTokens = 128'256;  // Llama-3's
  Workplace place;
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

TEST_CASE("A model's tokenizer is tokenizer.model, else tokenizer.json", "[data]") {
  const TemporaryFolder folder;
  CHECK(open_tokenizer(DataConfig(), "") == nullptr);
  CHECK(open_tokenizer(DataConfig(), folder.path()) == nullptr);
  write_json(folder / "tokenizer.json", tiny_bpe());
  CHECK(open_tokenizer(DataConfig(), folder.path())->vocab_size() == kBpeVocabulary);
  write_tiny_tokenizer(folder / "tokenizer.model");
  CHECK(open_tokenizer(DataConfig(), folder.path())->vocab_size() == 30);
  DataConfig config;
  config.tokenizer = folder / "tokenizer.json";
  CHECK(open_tokenizer(config, folder.path())->vocab_size() == kBpeVocabulary);
}
