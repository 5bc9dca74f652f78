#include "data/token_file_writer.h"

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "core/files.h"
#include "core/log.h"
#include "data/token_file.h"
#include "tests/data/token_samples.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("A token file larger than the write buffer is whole", "[data]") {
  const TemporaryFolder folder;
  std::vector<std::vector<int32_t>> documents;
  for (int32_t d = 0; d < 300; ++d) {
    // One document is larger than the buffer of 1 MiB itself.
    documents.emplace_back(d == 100 ? 700000 : d * 50);
    for (size_t t = 0; t < documents.back().size(); ++t) {
      documents.back()[t] = static_cast<int32_t>((d * 31 + t) % 5000);
    }
  }
  const TokenFile file(write_tokens(folder / "a.tokens", documents, 5000));
  file.verify_checksum();
  for (int64_t d = 0; d < 300; ++d) {
    std::vector<int64_t> ids(static_cast<size_t>(file.document_length(d)));
    file.copy(file.document_begin(d), file.document_length(d), ids.data());
    const auto& expected = documents[static_cast<size_t>(d)];
    CHECK(ids == std::vector<int64_t>(expected.begin(), expected.end()));
  }
}

TEST_CASE("A writer that does not finish leaves nothing and keeps the old file", "[data]") {
  const TemporaryFolder folder;
  const std::string path = sample_file(folder);
  const std::string before = read_text_file(path);
  {
    TokenFileWriter writer(path, {1000, 1, 2});
    writer.add_document("x", {1, 2, 3});
    CHECK_THROWS_AS(writer.add_document("y", {1000}), std::logic_error);
    CHECK_THROWS_AS(writer.add_document("y", {-1}), std::logic_error);
  }
  CHECK(read_text_file(path) == before);
  CHECK_FALSE(std::filesystem::exists(path + ".tmp"));
}

TEST_CASE("A second writer of one file waits for the first", "[data]") {
  const TemporaryFolder folder;
  const std::string path = folder / "a.tokens";
  configure_log(LogLevel::kError, true);
  auto first = std::make_unique<TokenFileWriter>(path, TokenFileInfo{1000, 1, 2});
  first->add_document("x", {1, 2, 3});
  std::atomic<bool> entered = false;
  std::thread other([&] {
    TokenFileWriter second(path, {1000, 1, 2});
    entered = true;
    CHECK(TokenFile(path).num_tokens() == 3);  // what the first has made is there
    second.finish();
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  CHECK_FALSE(entered);
  first->finish();
  first.reset();
  other.join();
  configure_log(LogLevel::kInfo, true);
  CHECK(TokenFile(path).num_documents() == 0);
  CHECK_FALSE(std::filesystem::exists(path + ".tmp"));
}

TEST_CASE("A full disk stops the writer with one line and leaves nothing", "[data]") {
  const TemporaryFolder folder;
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 100000;  // stands in for a full disk
  setrlimit(RLIMIT_FSIZE, &small);
  std::string line;
  {
    TokenFileWriter writer(folder / "a.tokens", {1000, 1, 2});
    writer.add_document("x", std::vector<int32_t>(200000, 5));
    line = user_error_of([&] { writer.finish(); });
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  CHECK_CONTAINS(line, "a.tokens.tmp: cannot write");
  CHECK(std::filesystem::is_empty(folder.path()));
}
