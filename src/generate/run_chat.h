// lococo-generate --chat: turns come in, answers go out.
#pragma once

#include <torch/types.h>

#include <functional>
#include <istream>
#include <string>

#include "config/config.h"
#include "pipeline/pipeline.h"
#include "tokenizer/tokenizer.h"

namespace lococo {

struct ChatInput {
  std::istream& lines;       ///< a turn each; /reset and /exit are commands, empty lines nothing
  bool interactive = false;  ///< a person types: "> " on stderr, Ctrl-C ends an answer alone
};

/// Throws what chat() would throw before it loads the model. `tokenizer`: the model's, or null.
void check_chat(const Config& config, const Tokenizer* tokenizer);

/// Reads config.generate.document, where given, asks config.generate.question, where given, and
/// then what `input` says, up to its end or /exit. `write` gets the answers, each with a newline
/// behind it; a line about each is logged. Throws UserError; to a person who has no room left in
/// the cache it says so, and goes on.
///
/// `pipeline`: the stages of one model, all of which call this; the first one, rank 0, reads the
/// turns of a conversation that is not interactive, and writes. Null: one process.
void chat(const Config& config, torch::Device device, const ChatInput& input,
          const std::function<void(const std::string&)>& write, Pipeline* pipeline = nullptr);

}  // namespace lococo
