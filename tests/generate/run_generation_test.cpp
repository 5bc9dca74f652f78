#include "generate/run_generation.h"

#include "core/files.h"
#include "core/log.h"
#include "tensor/kit/torch.h"
#include "tests/support/tiny_tokenizer.h"
#include "tests/support/catch.h"
#include "tests/support/policies.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/tiny_run.h"
#include "tests/support/user_error.h"

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

}  // namespace

TEST_CASE("a text is continued under every policy, the same every time", "[train]") {
  const TemporaryFolder folder;
  auto config = tiny_generation(folder);
  config.generate.temperature = 1.0;
  auto cases = all_policies();
  cases.push_back({"none", CacheConfig()});
  for (const auto& policy_case : cases) {
    INFO(policy_case.name);
    config.cache = policy_case.cache;
    const auto text = generate_text(config, torch::kCPU);
    CHECK(text.size() >= 20);  // BOS, EOS and unknown are no letters
    CHECK(generate_text(config, torch::kCPU) == text);
  }
}

TEST_CASE("a prompt may come from a file", "[train]") {
  const TemporaryFolder folder;
  auto config = tiny_generation(folder);
  const auto want = generate_text(config, torch::kCPU);
  config.generate.prompt_file = folder / "prompt.txt";
  write_text_file(config.generate.prompt_file, config.generate.prompt);
  CHECK_CONTAINS(user_error_of([&] { generate_text(config, torch::kCPU); }),
                 "generate.prompt_file: generate.prompt is given too");
  config.generate.prompt.clear();
  CHECK(generate_text(config, torch::kCPU) == want);
}

TEST_CASE("what cannot be continued is the user's line", "[train]") {
  const TemporaryFolder folder;
  auto line_of = [&](const std::function<void(Config&)>& change) {
    auto config = tiny_generation(folder);
    change(config);
    return user_error_of([&] { generate_text(config, torch::kCPU); });
  };
  CHECK_CONTAINS(line_of([](Config& c) { c.data.tokenizer.clear(); }), "data.tokenizer: give");
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
