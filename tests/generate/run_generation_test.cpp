#include "generate/run_generation.h"

#include <utf8.h>

#include "core/files.h"
#include "core/log.h"
#include "generate/prompt.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/stderr_of.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/tiny_run.h"
#include "tests/support/tiny_tokenizer.h"
#include "tests/support/user_error.h"
#include "tokenizer/sentencepiece_tokenizer.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

constexpr int64_t kVocabulary = 30;  // of the tiny tokenizer

Config tiny_generation(const TemporaryFolder& folder) {
  configure_log(LogLevel::kError, /*is_main_rank=*/true);
  Config config = tiny_run_config(folder / "");
  config.model.init.vocab_size = kVocabulary;
  config.data.tokenizer = folder / "tokenizer.model";
  write_tiny_tokenizer(config.data.tokenizer);
  config.generate.prompt = "a long story of many words and of no sense at all";
  config.generate.max_new_tokens = 40;
  config.generate.decode_buffer = 4;
  config.generate.stop_at_eos = false;
  return config;
}

std::string text_of(const Config& config) {
  std::string text;
  generate_text(config, torch::kCPU, [&](const std::string& piece) { text += piece; });
  return text;
}

}  // namespace

TEST_CASE("a text is continued under every policy, the same every time", "[generate]") {
  const TemporaryFolder folder;
  auto config = tiny_generation(folder);
  config.generate.temperature = 1.0;
  auto cases = all_policies();
  cases.push_back({"none", CacheConfig()});
  for (const auto& policy_case : cases) {
    INFO(policy_case.name);
    config.cache = policy_case.cache;
    const auto text = text_of(config);
    CHECK(text.size() >= 20);  // BOS, EOS and unknown are no letters
    CHECK(text_of(config) == text);
  }
}

TEST_CASE("an answer that may be endless takes the memory of the one that it is", "[generate]") {
  const TemporaryFolder folder;
  auto config = tiny_generation(folder);
  config.cache = CacheConfig();
  const auto whole = text_of(config);
  REQUIRE(whole.size() >= 20);
  const auto stop = whole.substr(whole.size() / 2, 4);
  config.generate.stop = {stop};
  config.generate.max_new_tokens = int64_t{1} << 50;
  CHECK(text_of(config) == whole.substr(0, whole.find(stop)));
}

TEST_CASE("a prompt may come from a file", "[generate]") {
  const TemporaryFolder folder;
  auto config = tiny_generation(folder);
  const auto want = text_of(config);
  config.generate.prompt_file = folder / "prompt.txt";
  write_text_file(config.generate.prompt_file, config.generate.prompt);
  CHECK_CONTAINS(user_error_of([&] { text_of(config); }),
                 "generate.prompt_file: generate.prompt is given too");
  config.generate.prompt.clear();
  CHECK(text_of(config) == want);
}

TEST_CASE("what cannot be continued is the user's line", "[generate]") {
  const TemporaryFolder folder;
  auto line_of = [&](const std::function<void(Config&)>& change) {
    auto config = tiny_generation(folder);
    change(config);
    return user_error_of([&] { text_of(config); });
  };
  CHECK_CONTAINS(line_of([](Config& c) { c.data.tokenizer.clear(); }), "data.tokenizer: ");
  CHECK_CONTAINS(line_of([](Config& c) { c.generate.prompt.clear(), c.data.add_bos = false; }),
                 "generate.prompt: is empty");
  CHECK_CONTAINS(line_of([](Config& c) { c.model.init.vocab_size = 20; }),
                 "data.tokenizer: has 30 tokens, the model 20");
  CHECK_CONTAINS(line_of([](Config& c) { c.generate.prompt_file = "/none/p.txt"; }),
                 "generate.prompt");
  CHECK_CONTAINS(line_of([](Config& c) {
                   c.generate.prompt.clear();
                   c.generate.prompt_file = "/none/p.txt";
                 }),
                 "/none/p.txt");
}

TEST_CASE("a text comes in pieces while it is made", "[generate]") {
  const TemporaryFolder folder;
  auto config = tiny_generation(folder);
  write_byte_tokenizer(config.data.tokenizer);
  config.model.init.vocab_size = kByteVocabulary;
  config.generate.temperature = 2.0;
  std::vector<std::string> pieces;
  generate_text(config, torch::kCPU, [&](const std::string& piece) { pieces.push_back(piece); });
  CHECK(pieces.size() > 10);
  std::string whole;
  for (const auto& piece : pieces) {
    CHECK(utf8::is_valid(piece.begin(), piece.end()));
    whole += piece;
  }
  // The same tokens, decoded at once.
  config.generate.output = GenerateOutput::kIds;
  const SentencePieceTokenizer tokenizer(config.data.tokenizer);
  auto ids = tokenizer.encode(config.generate.prompt);
  const auto before = tokenizer.decode(ids).size();
  for (const auto id : parse_token_ids(text_of(config), kByteVocabulary)) ids.push_back(id);
  CHECK(tokenizer.decode(ids).substr(before) == whole);
}

TEST_CASE("token ids in and out need no tokenizer", "[generate]") {
  const TemporaryFolder folder;
  auto config = tiny_generation(folder);
  config.generate.output = GenerateOutput::kIds;
  const auto want = text_of(config);
  CHECK(parse_token_ids(want, kVocabulary).size() == 40);
  config.generate.prompt_ids = "1";  // BOS
  for (const auto id : tiny_ids(config.generate.prompt))
    config.generate.prompt_ids += " " + std::to_string(id);
  config.generate.prompt.clear();
  config.data.tokenizer.clear();
  CHECK(text_of(config) == want);
  config.generate.output = GenerateOutput::kText;
  CHECK_CONTAINS(user_error_of([&] { text_of(config); }), "generate.output=ids");
}

TEST_CASE("a tokenizer smaller than the model never gets ids that it does not know", "[generate]") {
  const TemporaryFolder folder;
  auto config = tiny_generation(folder);
  config.model.init.vocab_size = 20 * kVocabulary;
  config.generate.temperature = 5.0;
  config.generate.max_new_tokens = 100;
  CHECK(text_of(config).size() > 50);
}

TEST_CASE("a prompt beyond the base's positions is warned of, unless slots are the positions",
          "[generate]") {
  const TemporaryFolder folder;
  auto config = tiny_generation(folder);
  const auto warned = [&] {
    configure_log(LogLevel::kWarn, /*is_main_rank=*/true);
    return stderr_of([&] { text_of(config); }).find("positions of the base") != std::string::npos;
  };
  config.model.init.rope_scaling = RopeScaling();
  config.model.init.max_position_embeddings = 40;
  config.cache.keys = KeyKind::kUnrotated;
  CHECK_FALSE(warned());
  config.cache = CacheConfig();
  CHECK(warned());
  config.model.rope_scaling = RopeScaling();
  config.model.rope_scaling->type = RopeType::kLinear;
  config.model.rope_scaling->factor = 2.0;
  CHECK_FALSE(warned());
}
