// Conversations from standard input as lococo_chat makes them, for a test in Python to compare.
//
// Usage: chat_turns FOLDER [TOKENIZER] < cases.json: a list of {"system", "users", "answers"}, one
// answer less than users. Prints a list: each conversation's ids, the answers (as ordinary text)
// among them, or without a tokenizer its text. `chat_turns --template NAME` prints a known
// template.
#include <iostream>
#include <nlohmann/json.hpp>

#include "chat/chat_prompt.h"
#include "chat/model_template.h"
#include "chat/template_text.h"
#include "core/error.h"
#include "tests/support/byte_tokenizer.h"

namespace {

using Ids = std::vector<int32_t>;
using Texts = std::vector<std::string>;

Ids conversation(const lococo::ChatPrompt& prompt, const lococo::Tokenizer& tokenizer,
                 const nlohmann::json& turns) {
  const auto users = turns.at("users").get<Texts>();
  const auto answers = turns.at("answers").get<Texts>();
  Ids ids = prompt.first_turn(turns.at("system"), users.at(0));
  for (size_t n = 0; n < answers.size(); ++n) {
    for (const auto& more :
         {tokenizer.encode_ordinary(answers[n]), prompt.next_turn(users.at(n + 1), false)})
      ids.insert(ids.end(), more.begin(), more.end());
  }
  return ids;
}

int run(int argc, char** argv) {
  if (argc == 3 && std::string(argv[1]) == "--template") {
    std::cout << lococo::template_text(lococo::format_named(argv[2]).value());
    return 0;
  }
  if (argc < 2) throw lococo::UserError("usage: chat_turns FOLDER [TOKENIZER] < cases.json");
  std::unique_ptr<lococo::Tokenizer> tokenizer = std::make_unique<lococo::testing::ByteTokenizer>(
      Texts{"<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>",
            "<|end_header_id|>", "<|eot_id|>"});
  const bool as_ids = argc > 2;
  if (as_ids) tokenizer = lococo::load_tokenizer(argv[2]);
  const auto chat = lococo::model_template(argv[1], {}, lococo::today_text());
  const lococo::ChatPrompt prompt(chat, *tokenizer);
  nlohmann::json results = nlohmann::json::array();
  for (const auto& turns : nlohmann::json::parse(std::cin)) {
    const auto ids = conversation(prompt, *tokenizer, turns);
    if (as_ids) {
      results.push_back(ids);
    } else {
      results.push_back(tokenizer->decode(ids));
    }
  }
  std::cout << results.dump() << '\n';
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
}
