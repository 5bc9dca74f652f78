#include "data/token_file.h"

#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>

#include "core/files.h"
#include "core/log.h"
#include "data/token_file_writer.h"
#include "data/token_format.h"
#include "tests/data/token_samples.h"
#include "tests/support/catch.h"
#include "tests/support/child_process.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

using token_format::Header;

const std::byte* as_bytes(const std::string& content) {
  return reinterpret_cast<const std::byte*>(content.data());
}

std::string open_error(const std::string& content) {
  return user_error_of([&] { TokenFile(as_bytes(content), content.size(), "x.tokens"); });
}

/// The sample with its header changed and the header's checksum made right again.
template <typename Change>
std::string with_header(std::string content, const Change& change) {
  Header header;
  std::memcpy(&header, content.data(), sizeof(header));
  change(header);
  header.header_checksum = token_format::header_checksum(header);
  std::memcpy(content.data(), &header, sizeof(header));
  return content;
}

}  // namespace

TEST_CASE("A token file gives back what was written", "[data]") {
  const TemporaryFolder folder;
  const int64_t vocab_size =
      GENERATE(int64_t{1000}, int64_t{65536}, int64_t{65537}, int64_t{200000});
  const auto top = static_cast<int32_t>(vocab_size - 1);
  const std::vector<std::vector<int32_t>> documents{{1, top, 3}, {}, {0}, {top, 2, 2, 2, 2}};
  const std::string path = write_tokens(folder / "a.tokens", documents, vocab_size);
  const TokenFile file(path);
  CHECK(file.vocab_size() == vocab_size);
  CHECK(file.tokenizer_fingerprint() == kSampleTokenizer);
  CHECK(file.source_fingerprint() == kSampleSource);
  CHECK_FALSE(file.is_raw());
  REQUIRE(file.num_documents() == 4);
  CHECK(file.num_tokens() == 9);
  for (int64_t i = 0; i < 4; ++i) {
    CHECK(file.document_name(i) == "document " + std::to_string(i));
    const auto& expected = documents[static_cast<size_t>(i)];
    REQUIRE(file.document_length(i) == static_cast<int64_t>(expected.size()));
    for (int64_t t = 0; t < file.document_length(i); ++t) {
      CHECK(file.token(file.document_begin(i) + t) == expected[static_cast<size_t>(t)]);
    }
  }
  file.verify_checksum();
  const size_t bytes_of_tokens = vocab_size <= 65536 ? 18 + 6 : 36 + 4;
  CHECK(std::filesystem::file_size(path) == 96 + bytes_of_tokens + 2 * 5 * 8 + 4 * 10);
}

TEST_CASE("A reader refuses indexes outside the file", "[data]") {
  const TemporaryFolder folder;
  const TokenFile file(sample_file(folder));
  int64_t out[8];
  CHECK_THROWS_AS(file.token(7), std::out_of_range);
  CHECK_THROWS_AS(file.token(-1), std::out_of_range);
  CHECK_THROWS_AS(file.copy(5, 3, out), std::out_of_range);
  CHECK_THROWS_AS(file.copy(0, INT64_MAX, out), std::out_of_range);
  CHECK_THROWS_AS(file.copy(INT64_MAX, 1, out), std::out_of_range);
  CHECK_THROWS_AS(file.copy(0, -1, out), std::out_of_range);
  CHECK_THROWS_AS(file.document_begin(3), std::out_of_range);
  CHECK_THROWS_AS(file.document_end(-1), std::out_of_range);
  CHECK_THROWS_AS(file.document_name(3), std::out_of_range);
  file.copy(7, 0, out);
}

TEST_CASE("Every flipped bit of a token file is found by opening it or by its checksum", "[data]") {
  const TemporaryFolder folder;
  const std::string good = read_text_file(sample_file(folder));
  TokenFile(as_bytes(good), good.size(), "good").verify_checksum();
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    INFO("bit " << bit);
    const auto open = [&] {
      const TokenFile file(as_bytes(bad), bad.size(), "bad.tokens");
      file.verify_checksum();
    };
    CHECK_CONTAINS(user_error_of(open), "bad.tokens");
    // The header's own checksum guards it without reading the tokens.
    if (bit < sizeof(Header) * 8) CHECK(!open_error(bad).empty());
  }
}

TEST_CASE("A token file cut anywhere is refused", "[data]") {
  const TemporaryFolder folder;
  const std::string good = read_text_file(sample_file(folder));
  for (size_t size = 0; size < good.size(); ++size) {
    INFO("size " << size);
    CHECK(!open_error(good.substr(0, size)).empty());
  }
  CHECK_CONTAINS(open_error(good + "x"), "1 bytes follow its end");
}

TEST_CASE("Impossible headers are refused even with a right checksum", "[data]") {
  const TemporaryFolder folder;
  const std::string good = read_text_file(sample_file(folder));
  const auto error_with = [&](const auto& change) { return open_error(with_header(good, change)); };
  CHECK_CONTAINS(error_with([](Header& h) { h.version = 2; }), "version 2");
  CHECK_CONTAINS(error_with([](Header& h) { h.token_bytes = 3; }), "unknown token type");
  CHECK_CONTAINS(error_with([](Header& h) { h.vocab_size = 0; }), "vocabulary");
  CHECK_CONTAINS(error_with([](Header& h) { h.vocab_size = 65537; }), "vocabulary");
  CHECK_CONTAINS(error_with([](Header& h) { h.magic[0] = 'X'; }), "is not a token file");
  for (const uint64_t huge : {uint64_t{1} << 40, uint64_t{1} << 60, (uint64_t{1} << 61) - 1,
                              (uint64_t{1} << 63) + 3, UINT64_MAX - 1, UINT64_MAX}) {
    INFO(huge);
    CHECK_CONTAINS(error_with([&](Header& h) { h.num_tokens = huge; }), "damaged");
    CHECK_CONTAINS(error_with([&](Header& h) { h.num_documents = huge; }), "damaged");
    CHECK_CONTAINS(error_with([&](Header& h) { h.name_bytes = huge; }), "damaged");
  }
}

TEST_CASE("Document offsets that fall, overshoot or end early are refused", "[data]") {
  const TemporaryFolder folder;
  const std::string good = read_text_file(sample_file(folder));
  const size_t table = sizeof(Header) + 16;  // 7 tokens of 2 bytes and padding
  const auto error_with = [&](size_t i, uint64_t value) {
    std::string bad = good;
    std::memcpy(bad.data() + table + i * 8, &value, 8);
    return open_error(bad);
  };
  CHECK_CONTAINS(error_with(0, 1), "offset of document 0");
  CHECK_CONTAINS(error_with(2, 1), "offset of document 2");
  CHECK_CONTAINS(error_with(1, UINT64_MAX), "offset of document 1");
  CHECK_CONTAINS(error_with(3, 6), "ends before the last token");
  std::string bad = good;
  const uint64_t far_away = UINT64_MAX;
  std::memcpy(bad.data() + table + 32 + 8, &far_away, 8);  // a name's end
  const TokenFile file(as_bytes(bad), bad.size(), "x");
  CHECK_CONTAINS(user_error_of([&] { file.document_name(0); }), "name of document 0");
}

TEST_CASE("An id beyond the vocabulary in a damaged file is refused with its position", "[data]") {
  const TemporaryFolder folder;
  std::string bad = read_text_file(sample_file(folder));
  bad[sizeof(Header) + 2 * 4 + 1] = 0x7F;  // token 4 becomes 0x7F08
  const TokenFile file(as_bytes(bad), bad.size(), "x.tokens");
  int64_t out[7];
  CHECK_CONTAINS(user_error_of([&] { file.copy(2, 5, out); }), "token 4 is id 32520");
  CHECK(file.token(3) == 7);
}

TEST_CASE("A vocabulary larger than the model's is read through for ids beyond it", "[data]") {
  const TemporaryFolder folder;
  const TokenFile file(sample_file(folder));
  file.check_token_range(1000);
  file.check_token_range(5000);
  CHECK_CONTAINS(user_error_of([&] { file.check_token_range(999); }), "token 2 is id 999");
  const TokenFile small(write_tokens(folder / "s.tokens", {{1, 5, 10}}, 1000));
  small.check_token_range(11);
  CHECK_CONTAINS(user_error_of([&] { small.check_token_range(10); }), "token 2 is id 10");
}

TEST_CASE("Raw token files open with a declared type and are one document", "[data]") {
  const TemporaryFolder folder;
  const uint16_t narrow[] = {1, 2, 65535, 4};
  write_text_file(folder / "a.bin", std::string(reinterpret_cast<const char*>(narrow), 8));
  CHECK_CONTAINS(user_error_of([&] { TokenFile(folder / "a.bin"); }), "data.raw_dtype");
  const TokenFile file(folder / "a.bin", RawTokenType::kUint16);
  CHECK((file.is_raw() && file.num_documents() == 1 && file.num_tokens() == 4));
  CHECK((file.document_begin(0) == 0 && file.document_end(0) == 4));
  CHECK(file.token(2) == 65535);
  file.verify_checksum();
  file.check_token_range(65536);
  CHECK_CONTAINS(user_error_of([&] { file.check_token_range(32000); }), "token 2 is id 65535");

  const uint32_t wide[] = {7, 0x80000001u, 100000};
  write_text_file(folder / "b.bin", std::string(reinterpret_cast<const char*>(wide), 12));
  const TokenFile big(folder / "b.bin", RawTokenType::kUint32);
  CHECK(big.token(2) == 100000);
  CHECK_CONTAINS(user_error_of([&] { big.token(1); }), "token 1 is id 2147483649");
  write_text_file(folder / "c.bin", "abcde");
  CHECK_CONTAINS(user_error_of([&] { TokenFile(folder / "c.bin", RawTokenType::kUint16); }),
                 "5 bytes");
  write_text_file(folder / "d.bin", "");
  CHECK_CONTAINS(user_error_of([&] { TokenFile(folder / "d.bin", RawTokenType::kUint32); }),
                 "empty");
}

TEST_CASE("Our own format is known by its magic even when a raw type is declared", "[data]") {
  const TemporaryFolder folder;
  const std::string path = sample_file(folder);
  CHECK(TokenFile::has_magic(path));
  CHECK_FALSE(TokenFile(path, RawTokenType::kUint16).is_raw());
  write_text_file(folder / "short", "LOCO");
  CHECK_FALSE(TokenFile::has_magic(folder / "short"));
  CHECK_THROWS_AS(TokenFile::has_magic(folder / "none"), UserError);
  CHECK_THROWS_AS(TokenFile::has_magic(folder.path()), UserError);
}

TEST_CASE("A token file that is overwritten while it is open is refused", "[data]") {
  const TemporaryFolder folder;
  const std::string path = sample_file(folder);
  const TokenFile file(path);
  CHECK(file.token(0) == 1);
  const auto overwrite = [&](const std::string& content) {
    std::fstream stream(path, std::ios::binary | std::ios::in | std::ios::out);
    stream << content;
  };
  const std::string whole = read_text_file(path);
  std::string other = whole;
  SECTION("with the same content it is still good") {
    overwrite(whole);
    CHECK(file.token(0) == 1);
    CHECK(file.token(1) == 5);
    return;
  }
  SECTION("by other tokens of the vocabulary") { other[sizeof(Header)] ^= 1; }
  SECTION("by other offsets") { other.replace(sizeof(Header) + 16, 32, std::string(32, '\x7f')); }
  SECTION("by text") { other = std::string(whole.size(), 'z'); }
  SECTION("by a longer file") { other += "more"; }
  overwrite(other);
  const std::string line = user_error_of([&] { file.token(file.document_begin(0)); });
  CHECK_CONTAINS(line, path);
  CHECK_CONTAINS(line, "while it was in use");
}

TEST_CASE("A token file that is cut short while it is open ends the process with one line",
          "[data]") {
  const TemporaryFolder folder;
  std::vector<int32_t> ids(20000, 7);
  const std::string path = write_tokens(folder / "long.tokens", {ids}, 1000);
  const ChildResult result = run_in_child([&] {
    const TokenFile file(path);
    std::filesystem::resize_file(path, 4096);
    file.verify_checksum();
  });
  CHECK(result.exit_code == 2);
  CHECK_CONTAINS(result.err, path + ": the file was cut short while it was read");
}
