// A whole conversation as token ids, with the places of its answers: what supervised fine-tuning
// trains on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "chat/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace lococo {

enum class ChatRole { kSystem, kUser, kAssistant };

struct ChatMessage {
  ChatRole role = ChatRole::kUser;
  std::string content;
  /// Bytes of a user's message that may be cut where the whole is too long: what it asks about.
  size_t document_begin = 0, document_end = 0;
};

struct TokenSpan {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t length() const { return end - begin; }
  bool operator==(const TokenSpan&) const = default;
};

struct Transcript {
  std::vector<int32_t> ids;
  /// Each answer with the token that ends it, in order.
  std::vector<TokenSpan> answers;
  TokenSpan document;          ///< tokens of the first user message's document
  int64_t first_user_end = 0;  ///< one past the last token of that message
};

/// Text between two special tokens is tokenised as one, prompt and answer together, as a model
/// meets it in other texts. An answer begins with the first token whose text begins at or after the
/// answer's first byte (llama-2: the blank before it). A token that straddles that place belongs to
/// the prompt: behind the prompt alone, as generation has it, the model would not have to make it.
/// An answer includes the token that ends it; the blank that some templates put before that is left
/// out, as ChatPrompt does.
class TranscriptMaker {
 public:
  /// `chat`: any but kNone, which no answers end. The tokenizer
  /// must outlive this. Throws UserError where the tokenizer lacks a token that the form needs.
  TranscriptMaker(ChatTemplate chat, const Tokenizer& tokenizer);

  /// `messages`: perhaps one of the system, then the user and the assistant in turn. May be called
  /// from several threads.
  Transcript make(const std::vector<ChatMessage>& messages) const;

  /// The tokens that end an answer; the first is the form's own.
  std::vector<int32_t> end_tokens() const;

 private:
  ChatTemplate chat_;
  const Tokenizer& tokenizer_;
};

}  // namespace lococo
