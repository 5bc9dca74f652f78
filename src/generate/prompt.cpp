#include "generate/prompt.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <iostream>
#include <iterator>

#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "dist/activity.h"
#include "tokenizer/utf8_text.h"

namespace lococo {
namespace {

std::string read_standard_input() {
  log_info("reading standard input");
  const InputWait wait;
  std::string text(std::istreambuf_iterator<char>(std::cin), {});
  if (std::cin.bad()) throw UserError("standard input: cannot be read to its end");
  return text;
}

std::string prompt_text(const GenerateConfig& config) {
  if (!config.prompt_file.empty()) return read_text_or_standard_input(config.prompt_file);
  return config.prompt;
}

/// Only what a list of numbers is written with, and a digit among it.
bool is_list_of_ids(const std::string& text) {
  return text.find_first_not_of("0123456789-+,[] \t\r\n") == std::string::npos &&
         text.find_first_of("0123456789") != std::string::npos;
}

}  // namespace

std::string read_text_or_standard_input(const std::string& path) {
  return path == "-" ? read_standard_input() : read_text_file(path);
}

void check_single_prompt(const GenerateConfig& config) {
  const std::string talks = config.chat                ? "generate.chat"
                            : !config.document.empty() ? "generate.document"
                            : !config.question.empty() ? "generate.question"
                                                       : "";
  std::string first;
  for (const auto& [key, is_given] :
       {std::pair{"generate.prompt", !config.prompt.empty()},
        std::pair{"generate.prompt_file", !config.prompt_file.empty()},
        std::pair{"generate.prompt_ids", !config.prompt_ids.empty()},
        std::pair{talks.c_str(), !talks.empty()}}) {
    if (!is_given) continue;
    if (!first.empty())
      throw UserError(std::string(key) + ": " + first + " is given too; remove one (" + first +
                      "= empties it)");
    first = key;
  }
}

GenerateConfig with_standard_input(GenerateConfig config) {
  const bool has_prompt =
      !config.prompt.empty() || !config.prompt_file.empty() || !config.prompt_ids.empty();
  const bool talks = config.chat || !config.question.empty() || !config.document.empty();
  if (!has_prompt && !talks && isatty(STDIN_FILENO) == 0) config.prompt_file = "-";
  return config;
}

GenerateConfig without_standard_input(GenerateConfig config) {
  if (config.prompt_file == "-") {
    config.prompt_file.clear();
    config.prompt = "a";
  }
  if (config.prompt_ids == "-") config.prompt_ids = "0";
  if (config.document == "-" && !config.question.empty()) config.document.clear();
  return config;
}

std::vector<int32_t> parse_token_ids(const std::string& given, int64_t vocab_size) {
  const std::string text = is_list_of_ids(given) ? given : read_text_or_standard_input(given);
  const char* const separators = ",[] \t\r\n";
  std::vector<int32_t> ids;
  for (size_t begin = text.find_first_not_of(separators); begin != std::string::npos;) {
    const size_t end = std::min(text.find_first_of(separators, begin), text.size());
    int64_t id = 0;
    const auto result = std::from_chars(text.data() + begin, text.data() + end, id);
    const bool is_number = result.ec == std::errc() && result.ptr == text.data() + end;
    if (!is_number || id < 0 || id >= vocab_size) {
      constexpr size_t kLongest = 40;
      throw UserError("generate.prompt_ids: \"" +
                      text.substr(begin, std::min(end - begin, kLongest)) +
                      "\" is no token id; use integers from 0 to " +
                      std::to_string(vocab_size - 1) + ", the model's last");
    }
    ids.push_back(static_cast<int32_t>(id));
    begin = text.find_first_not_of(separators, end);
  }
  if (ids.empty()) throw UserError("generate.prompt_ids: " + given + " holds no token id");
  return ids;
}

std::vector<int32_t> prompt_tokens(const Config& config, const Tokenizer* tokenizer,
                                   int64_t vocab_size) {
  check_single_prompt(config.generate);
  if (!config.generate.prompt_ids.empty())
    return parse_token_ids(config.generate.prompt_ids, vocab_size);
  if (tokenizer == nullptr) {
    throw UserError("data.tokenizer: is not given, nor has model.path a tokenizer.model; " +
                    std::string(kWithoutTokenizer));
  }
  const std::string text = prompt_text(config.generate);
  const std::string& file = config.generate.prompt_file;
  check_utf8(text, file.empty() ? "generate.prompt" : "generate.prompt_file: " + file);
  auto ids = tokenizer->encode(text);
  if (config.data.add_bos && tokenizer->bos_id() >= 0) ids.insert(ids.begin(), tokenizer->bos_id());
  if (ids.empty())
    throw UserError("generate.prompt: is empty; give a text to continue: --prompt, --prompt-file");
  return ids;
}

std::vector<int32_t> ids_of_rank_0(Communicator& ranks,
                                   const std::function<std::vector<int32_t>()>& read) {
  if (ranks.size() == 1) return read();
  std::string bytes;
  if (ranks.is_main()) {
    const auto ids = read();
    bytes.assign(reinterpret_cast<const char*>(ids.data()), ids.size() * sizeof(ids[0]));
  }
  bytes = ranks.broadcast_text(bytes, /*root=*/0);
  std::vector<int32_t> ids(bytes.size() / sizeof(int32_t));
  std::memcpy(ids.data(), bytes.data(), bytes.size());
  return ids;
}

}  // namespace lococo
