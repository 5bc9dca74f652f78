#include "tokenizer/sentencepiece_tokenizer.h"

#include "core/files.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_tokenizer.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("A tokenizer gives ids and the text back", "[tokenizer]") {
  const TemporaryFolder folder;
  write_tiny_tokenizer(folder / "t.model");
  const SentencePieceTokenizer tokenizer(folder / "t.model");
  CHECK(tokenizer.vocab_size() == 30);
  CHECK(tokenizer.bos_id() == 1);
  CHECK(tokenizer.eos_id() == 2);
  CHECK(tokenizer.encode("").empty());
  CHECK(tokenizer.encode("hello world") == tiny_ids("hello world"));
  CHECK(tokenizer.decode(tokenizer.encode("hello world")) == "hello world");
}

TEST_CASE("A tokenizer refuses to decode ids that are not its own", "[tokenizer]") {
  const TemporaryFolder folder;
  write_tiny_tokenizer(folder / "t.model");
  const SentencePieceTokenizer tokenizer(folder / "t.model");
  CHECK_CONTAINS(user_error_of([&] { tokenizer.decode({4, 30}); }), "30");
  CHECK_CONTAINS(user_error_of([&] { tokenizer.decode({-1}); }), "-1");
}

TEST_CASE("A tokenizer's fingerprint is of the file's content", "[tokenizer]") {
  const TemporaryFolder folder;
  write_tiny_tokenizer(folder / "a.model");
  write_tiny_tokenizer(folder / "b.model");
  write_tiny_tokenizer(folder / "c.model", /*with_bos=*/false);
  const SentencePieceTokenizer a(folder / "a.model");
  CHECK(a.fingerprint() == SentencePieceTokenizer(folder / "b.model").fingerprint());
  CHECK(a.fingerprint() != SentencePieceTokenizer(folder / "c.model").fingerprint());
}

TEST_CASE("A file that is no tokenizer is refused by name", "[tokenizer]") {
  const TemporaryFolder folder;
  CHECK_CONTAINS(user_error_of([&] { load_tokenizer(folder / "none.model"); }),
                 "none.model: no such");
  CHECK_CONTAINS(user_error_of([&] { load_tokenizer(folder.path()); }), "is a folder");
  write_text_file(folder / "empty.model", "");
  CHECK_CONTAINS(user_error_of([&] { SentencePieceTokenizer(folder / "empty.model"); }),
                 "not a SentencePiece");
  write_text_file(folder / "text.model", "this is a text and no model at all");
  CHECK_CONTAINS(user_error_of([&] { SentencePieceTokenizer(folder / "text.model"); }),
                 "not a SentencePiece");
  write_text_file(folder / "pointer.model",
                  "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 499723\n");
  CHECK_CONTAINS(user_error_of([&] { SentencePieceTokenizer(folder / "pointer.model"); }),
                 "pointer.model: is a pointer of Git LFS");
  write_tiny_tokenizer(folder / "cut.model");
  const std::string whole = read_text_file(folder / "cut.model");
  write_text_file(folder / "cut.model", whole.substr(0, whole.size() - 3));
  CHECK_CONTAINS(user_error_of([&] { SentencePieceTokenizer(folder / "cut.model"); }),
                 "not a SentencePiece");
}
