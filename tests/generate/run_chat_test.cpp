#include "generate/run_chat.h"

#include <sstream>

#include "core/files.h"
#include "core/log.h"
#include "generate/run_generation.h"
#include "tensor/kit/torch.h"
#include "tests/support/catch.h"
#include "tests/support/stderr_of.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_base.h"
#include "tests/support/tiny_bpe.h"
#include "tests/support/tiny_llama.h"
#include "tests/support/tiny_tokenizer.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

/// A random model with SentencePiece and llama-2's template by name.
Config chat_config(const TemporaryFolder& folder) {
  configure_log(LogLevel::kError, /*is_main_rank=*/true);
  Config config;
  config.model.init = tiny_shape();
  config.model.init.vocab_size = kByteVocabulary;
  config.model.init_std = 0.1;
  config.cache = tiny_cache();
  config.data.tokenizer = folder / "tokenizer.model";
  write_byte_tokenizer(config.data.tokenizer);
  config.distributed.device = "cpu";
  config.generate.chat = true;
  config.generate.chat_template = "llama-2";
  config.generate.max_new_tokens = 8;
  config.generate.stop_at_eos = false;
  return config;
}

/// What is printed for these lines of standard input.
std::string printed(const Config& config, const std::string& lines) {
  std::istringstream input(lines);
  std::string text;
  chat(config, torch::kCPU, {input}, [&](const std::string& piece) { text += piece; });
  return text;
}

}  // namespace

TEST_CASE("a conversation has an answer for each line, up to its end or /exit", "[generate]") {
  const TemporaryFolder folder;
  const auto config = chat_config(folder);
  const auto two = printed(config, "hello\nand then\n");
  const auto one = printed(config, "hello\n");
  CHECK(one.ends_with('\n'));
  CHECK(one.size() > 1);
  CHECK(two.starts_with(one));
  CHECK(two.size() > one.size());
  CHECK(printed(config, "hello\r\n\n\nand then") == two);
  CHECK(printed(config, "hello\n/exit\nand then\n") == one);
  CHECK(printed(config, "").empty());
  CHECK(printed(config, "hello\n/reset\nhello\n") == one + one);
}

TEST_CASE("a question of the config is asked first, about the document", "[generate]") {
  const TemporaryFolder folder;
  auto config = chat_config(folder);
  const auto want = printed(config, "who\nand then\n");
  config.generate.question = "who";
  CHECK(printed(config, "and then\n") == want);
  config.generate.document = folder / "book.txt";
  write_text_file(config.generate.document, "a long story of nothing");
  const auto about = printed(config, "");
  CHECK(about != printed(
                     [&] {
                       auto other = config;
                       other.generate.document.clear();
                       return other;
                     }(),
                     ""));
  // Without a conversation the same answer, once.
  config.generate.chat = false;
  std::string once;
  generate_text(config, torch::kCPU, [&](const std::string& piece) { once += piece; });
  CHECK(once + "\n" == about);
}

TEST_CASE("a model without a template has a plain form for documents alone", "[generate]") {
  const TemporaryFolder folder;
  auto config = chat_config(folder);
  config.generate.chat_template = "auto";
  CHECK_CONTAINS(user_error_of([&] { printed(config, "hello\n"); }), "generate.chat_template");
  config.generate.document = folder / "book.txt";
  write_text_file(config.generate.document, "a long story of nothing");
  CHECK(printed(config, "who\n").size() > 1);
}

TEST_CASE("a conversation's template is told once, in the form that an adapter brings too",
          "[generate]") {
  const TemporaryFolder folder;
  auto shape = tiny_shape();
  shape.vocab_size = kBpeVocabulary;
  auto config = config_on(write_base(folder.make("base"), shape));
  write_json(config.model.path + "/tokenizer.json", tiny_bpe());
  config.generate.max_new_tokens = 2;
  const auto template_lines = [&] {
    std::vector<std::string> lines;
    std::istringstream log(stderr_of([&] {
      configure_log(LogLevel::kInfo, /*is_main_rank=*/true);
      printed(config, "hello\n");
      configure_log(LogLevel::kError, /*is_main_rank=*/true);
    }));
    for (std::string line; std::getline(log, line);) {
      const size_t begin = line.find("chat template ");
      if (begin != std::string::npos) lines.push_back(line.substr(begin));
    }
    return lines;
  };
  config.generate.chat_template = "plain";
  CHECK(template_lines() == std::vector<std::string>{"chat template plain"});
  auto run = config;
  run.tune.lora = 1e-3;
  run.data.records = {{"a.jsonl", 1.0}};
  run.data.record_template = RecordTemplate::kPlain;
  config.model.adapter = write_checkpoint(run, folder / "run");
  config.generate.chat_template = "auto";
  CHECK(template_lines() == std::vector<std::string>{"chat template plain, which " +
                                                     config.model.adapter + " was tuned with"});
}

TEST_CASE("what is no conversation is the user's line", "[generate]") {
  const TemporaryFolder folder;
  const auto line_of = [&](const std::function<void(Config&)>& change) {
    auto config = chat_config(folder);
    change(config);
    return user_error_of([&] { printed(config, "hello\n"); });
  };
  CHECK_CONTAINS(line_of([](Config& c) { c.data.tokenizer.clear(); }), "data.tokenizer");
  CHECK_CONTAINS(line_of([](Config& c) { c.generate.chat_template = "chatml"; }),
                 "chatml needs <|im_start|>");
  CHECK_CONTAINS(line_of([](Config& c) { c.generate.prompt = "a"; }),
                 "generate.chat: generate.prompt is given too");
  CHECK_CONTAINS(line_of([](Config& c) { c.generate.output = GenerateOutput::kIds; }),
                 "generate.output");
  CHECK_CONTAINS(line_of([](Config& c) { c.generate.document = "-"; }), "generate.document");
  CHECK_CONTAINS(line_of([](Config& c) { c.generate.document = "/none/a.txt"; }), "/none/a.txt");
  CHECK_CONTAINS(line_of([](Config& c) { c.generate.stop = {""}; }), "generate.stop");
  auto config = chat_config(folder);
  CHECK_CONTAINS(user_error_of([&] { printed(config, "a\xff\n"); }), "UTF-8");
  config.generate.chat = false;
  config.generate.document = folder / "empty.txt";
  write_text_file(config.generate.document, "");
  const auto ignore = [](const std::string&) {};
  CHECK_CONTAINS(user_error_of([&] { generate_text(config, torch::kCPU, ignore); }),
                 "generate.question: is empty");
  config.generate.question = "who";
  CHECK_CONTAINS(user_error_of([&] { generate_text(config, torch::kCPU, ignore); }),
                 "empty.txt is empty");
  write_text_file(config.generate.document, "\xff\xfe");
  CHECK_CONTAINS(user_error_of([&] { generate_text(config, torch::kCPU, ignore); }),
                 "empty.txt: byte 0 of the text is not UTF-8");
}

TEST_CASE("a person with a full cache is told and goes on", "[generate]") {
  const TemporaryFolder folder;
  auto config = chat_config(folder);
  config.cache = CacheConfig();
  config.model.init.max_position_embeddings = 60;
  config.generate.document.clear();
  std::string text, long_line(5000, 'a');
  long_line += '\n';
  const auto told = stderr_of([&] {
    std::istringstream input(long_line + "hello\n");
    chat(config, torch::kCPU, {input, /*interactive=*/true},
         [&](const std::string& piece) { text += piece; });
  });
  CHECK_CONTAINS(told, "there is room for");
  CHECK(text.size() > 1);
  // In a pipe the other lines have their answers before the refusal ends it.
  std::string piped;
  const auto line = user_error_of([&] {
    std::istringstream input(long_line + "hello\n" + long_line);
    chat(config, torch::kCPU, {input, /*interactive=*/false},
         [&](const std::string& piece) { piped += piece; });
  });
  CHECK_CONTAINS(line, "line 1: the conversation has 0 tokens");
  CHECK_CONTAINS(line, "there is room for");
  CHECK_CONTAINS(line, "(and 1 more turns had no answer)");
  CHECK(piped == text);
}

TEST_CASE("what is given whole is read beyond the positions, a later turn only so far",
          "[generate]") {
  const TemporaryFolder folder;
  auto config = chat_config(folder);
  config.cache = CacheConfig();
  config.model.init.rope_scaling = RopeScaling();
  config.model.init.max_position_embeddings = 60;
  config.generate.document = folder / "book.txt";
  write_text_file(config.generate.document, std::string(100, 'a'));
  config.generate.question = "who";
  configure_log(LogLevel::kWarn, /*is_main_rank=*/true);
  std::string once, first;
  config.generate.chat = false;
  const auto told_once = stderr_of([&] {
    generate_text(config, torch::kCPU, [&](const std::string& piece) { once += piece; });
  });
  CHECK_CONTAINS(told_once, "more than the 60 positions of the base");
  config.generate.chat = true;
  const auto told_first = stderr_of([&] { first = printed(config, ""); });
  CHECK_CONTAINS(told_first, "generate.document: ");
  CHECK_CONTAINS(told_first, "more than the 60 positions of the base");
  CHECK(first == once + "\n");
  configure_log(LogLevel::kError, /*is_main_rank=*/true);
  const auto refusal = user_error_of([&] { printed(config, std::string(5000, 'a')); });
  CHECK_CONTAINS(refusal, "line 1: the conversation has");
}
