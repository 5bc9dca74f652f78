#include "generate/prompt.h"

#include "core/files.h"
#include "core/log.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_tokenizer.h"
#include "tests/support/user_error.h"
#include "tokenizer/sentencepiece_tokenizer.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

using Ids = std::vector<int32_t>;

std::string refusal(const std::string& ids) {
  return user_error_of([&] { parse_token_ids(ids, 100); });
}

}  // namespace

TEST_CASE("token ids are read from a text or a file of them", "[generate]") {
  const Ids want = {1, 20, 99};
  CHECK(parse_token_ids("1 20 99", 100) == want);
  CHECK(parse_token_ids("[1, 20,99]", 100) == want);
  CHECK(parse_token_ids(" 1\n20\r\n99\n", 100) == want);
  const TemporaryFolder folder;
  write_text_file(folder / "ids.txt", "1\n20\n99\n");
  CHECK(parse_token_ids(folder / "ids.txt", 100) == want);
}

TEST_CASE("what is no token id of the model is refused", "[generate]") {
  CHECK_CONTAINS(refusal("1 100"), "\"100\" is no token id; use integers from 0 to 99");
  CHECK_CONTAINS(refusal("1 -2"), "\"-2\" is no token id");
  CHECK_CONTAINS(refusal("1 2-3"), "\"2-3\" is no token id");
  CHECK_CONTAINS(refusal("99999999999999999999"), "is no token id");
  CHECK_CONTAINS(refusal("/none/ids.txt"), "/none/ids.txt");
  const TemporaryFolder folder;
  write_text_file(folder / "words.txt", "1 two 3");
  CHECK_CONTAINS(refusal(folder / "words.txt"), "\"two\" is no token id");
  write_text_file(folder / "empty.txt", "\n");
  CHECK_CONTAINS(refusal(folder / "empty.txt"), "holds no token id");
}

TEST_CASE("a prompt is one text or its ids, as they are", "[generate]") {
  const TemporaryFolder folder;
  write_tiny_tokenizer(folder / "tokenizer.model");
  const SentencePieceTokenizer tokenizer(folder / "tokenizer.model");
  const auto tokens = [&](const std::function<void(GenerateConfig&)>& change,
                          const Tokenizer* with) {
    Config config;
    change(config.generate);
    return prompt_tokens(config, with, tokenizer.vocab_size());
  };
  Ids want = tiny_ids("abc");
  want.insert(want.begin(), tokenizer.bos_id());
  write_text_file(folder / "p.txt", "abc");
  CHECK(tokens([](auto& c) { c.prompt = "abc"; }, &tokenizer) == want);
  CHECK(tokens([&](auto& c) { c.prompt_file = folder / "p.txt"; }, &tokenizer) == want);
  CHECK(tokens([](auto& c) { c.prompt_ids = "5 6"; }, nullptr) == Ids{5, 6});

  const auto line = [&](const std::function<void(GenerateConfig&)>& change, const Tokenizer* with) {
    return user_error_of([&] { tokens(change, with); });
  };
  CHECK_CONTAINS(line([](auto& c) { c.prompt = "abc", c.prompt_ids = "5"; }, &tokenizer),
                 "generate.prompt_ids: generate.prompt is given too; remove one");
  CHECK_CONTAINS(line([](auto& c) { c.prompt = "a\xE2\x82"; }, &tokenizer),
                 "generate.prompt: byte 1 of the text is not UTF-8");
  write_text_file(folder / "latin.txt", "caf\xE9");
  CHECK_CONTAINS(line([&](auto& c) { c.prompt_file = folder / "latin.txt"; }, &tokenizer),
                 "generate.prompt_file: " + (folder / "latin.txt") + ": byte 3 of the text");
  CHECK_CONTAINS(line([](auto& c) { c.prompt = "abc"; }, nullptr), "--prompt-ids");
}

TEST_CASE("a tokenizer with ids that the model has no row for is refused", "[generate]") {
  configure_log(LogLevel::kError, /*is_main_rank=*/true);
  const TemporaryFolder folder;
  write_tiny_tokenizer(folder / "tokenizer.model");
  const SentencePieceTokenizer tokenizer(folder / "tokenizer.model");
  check_vocabulary(tokenizer, 30);
  check_vocabulary(tokenizer, 32);
  check_vocabulary(tokenizer, 32000);  // with a warning
  CHECK(user_error_of([&] { check_vocabulary(tokenizer, 29); }) ==
        "data.tokenizer: has 30 tokens, the model 29; is it the model's own?");
}
