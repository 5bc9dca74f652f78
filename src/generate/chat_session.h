// A conversation whose history stays in a decoder's caches: each turn reads its own tokens only.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "chat/chat_prompt.h"
#include "decode/decoder.h"
#include "generate/generation.h"
#include "tokenizer/tokenizer.h"

namespace lococo {

struct ChatOptions {
  GenerationOptions generation;  ///< of one answer; what it tells and asks is the session's
  std::vector<std::string> stop_texts;
  std::string system;  ///< "": none, or the template's own
  /// Tokens that the decoder has room for (cache.policy none); nullopt: any number.
  std::optional<int64_t> max_tokens;
};

/// One answer and what it took.
struct ChatAnswer {
  int64_t read = 0;  ///< new tokens before the answer: the turn, and what the last answer lacks
  double read_seconds = 0.0;
  int64_t made = 0;  ///< tokens of the answer
  double made_seconds = 0.0;
  bool cut = false;  ///< neither an end token nor a stop text has ended it
};

/// Talks by a decoder of one row, which nobody else uses meanwhile. Everything that the session
/// refers to must outlive it.
class ChatSession {
 public:
  using Ids = std::vector<int32_t>;

  ChatSession(Decoder& decoder, const ChatPrompt& form, const Tokenizer& tokenizer,
              ChatOptions options);

  /// Begins the conversation with a document, ChatPrompt::context() of it, which the first turn
  /// asks about. `on_block` as in Decoder. Comes before the first ask(). Throws UserError when
  /// there is no room for it.
  void read_document(const Ids& context, const Decoder::OnBlock& on_block);

  /// The next turn. `write` gets the answer as it is made, without blanks before it; `is_over`,
  /// asked after each token, ends it. The conversation goes on after an answer that was cut, too;
  /// of one that a stop text has ended, it keeps what was shown.
  /// Throws what check_room_for() does.
  ChatAnswer ask(const std::string& user, const std::function<void(const std::string&)>& write,
                 const std::function<bool()>& is_over = {});

  /// Throws UserError when there is no room for this turn and some of an answer.
  void check_room_for(const std::string& user) const;

  /// Back to the beginning, or to the end of the document.
  void reset();

  /// Tokens read and made so far. An answer with a stop text counts when the next turn is read.
  int64_t position() const { return decoder_.row(0).position; }
  int64_t slots() const { return decoder_.row(0).size; }  ///< in use, of a layer

 private:
  /// All that this turn adds to the caches before its answer.
  Ids turn(const std::string& user) const;
  /// Throws UserError without room for `tokens` and one of an answer.
  void check_room(int64_t tokens) const;
  torch::Tensor read(const Ids& ids, const Decoder::OnBlock& on_block);
  torch::Tensor on_device(const Ids& ids) const;

  Decoder& decoder_;
  const ChatPrompt& form_;
  const Tokenizer& tokenizer_;
  ChatOptions options_;
  std::optional<Sampler> sampler_;  ///< from the first tokens on; remembers what was seen
  Ids document_;
  std::optional<DecoderSnapshot> after_document_;
  bool has_turns_ = false;
  Ids pending_;         ///< the end of the last answer that the caches do not hold yet
  std::string unread_;  ///< the last answer, which was taken back because of its stop text
};

}  // namespace lococo
