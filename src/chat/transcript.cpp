#include "chat/transcript.h"

#include <algorithm>
#include <utility>

#include "chat/blanks.h"
#include "chat/chat_pieces.h"
#include "chat/token_places.h"
#include "core/error.h"

namespace lococo {
namespace {

/// A user's message as it enters the text, and the document within it.
struct Asked {
  std::string text;
  size_t document_begin = 0, document_end = 0;
};

/// Collects the text between two special tokens and turns it into ids at once.
class Writer {
 public:
  explicit Writer(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}

  void add(const ChatPieces& pieces) {
    for (const ChatPiece& piece : pieces) {
      if (piece.special) {
        add_special(tokenizer_.special_id(piece.text).value());
      } else {
        text_ += piece.text;
      }
    }
  }

  void add_special(int32_t id) {
    flush();
    result_.ids.push_back(id);
  }

  /// The first user message, with its document.
  void add_first(const Asked& asked) {
    is_first_ = true;
    document_begin_ = text_.size() + asked.document_begin;
    document_end_ = text_.size() + asked.document_end;
    text_ += asked.text;
    message_end_ = text_.size();
  }

  void add_answer(const std::string& text, int32_t end_token) {
    const size_t begin = text_.size();
    text_ += text;
    const std::string whole = text_;
    const auto before = static_cast<int64_t>(result_.ids.size());
    const auto ids = flush();
    result_.ids.push_back(end_token);
    const auto first = static_cast<int64_t>(token_at(tokenizer_, whole, ids, begin));
    result_.answers.push_back({before + first, static_cast<int64_t>(result_.ids.size())});
  }

  Transcript take() {
    flush();
    return std::move(result_);
  }

 private:
  std::vector<int32_t> flush() {
    const auto before = static_cast<int64_t>(result_.ids.size());
    auto ids = text_.empty() ? std::vector<int32_t>() : tokenizer_.encode_ordinary(text_);
    if (is_first_) {
      const auto place = [&](size_t byte) {
        return before + static_cast<int64_t>(token_at(tokenizer_, text_, ids, byte));
      };
      result_.document = {place(document_begin_), place(document_end_)};
      result_.first_user_end = place(message_end_);
      is_first_ = false;
    }
    result_.ids.insert(result_.ids.end(), ids.begin(), ids.end());
    text_.clear();
    return ids;
  }

  const Tokenizer& tokenizer_;
  Transcript result_;
  std::string text_;
  bool is_first_ = false;  ///< text_ holds the first user message
  size_t document_begin_ = 0, document_end_ = 0, message_end_ = 0;
};

/// What stands around the messages.
struct Frame {
  ChatPieces before_first;  ///< and behind the system message
  ChatPieces before_next;   ///< between an answer's end token and the next user message
  ChatPieces before_answer;
};

Frame frame_of(const ChatTemplate& chat, const std::string& system) {
  auto next = behind_answer(chat);
  if (!next.empty()) next.erase(next.begin());  // the answer has its end token
  return {before_user(chat, system), std::move(next), behind_user(chat)};
}

Asked asked_of(const ChatMessage& message, const ChatTemplate& chat, const std::string& system) {
  const std::string left = left_stripped(chat, message.content, system);
  const size_t removed = message.content.size() - left.size();
  Asked asked = {right_stripped(chat, left)};
  const auto moved = [&](size_t byte) {
    return std::min(byte > removed ? byte - removed : 0, asked.text.size());
  };
  asked.document_begin = moved(message.document_begin);
  asked.document_end = moved(message.document_end);
  return asked;
}

}  // namespace

TranscriptMaker::TranscriptMaker(ChatTemplate chat, const Tokenizer& tokenizer)
    : chat_(std::move(chat)), tokenizer_(tokenizer) {
  if (chat_.format == ChatFormat::kPlain) {
    if (tokenizer.eos_id() >= 0) return;
    throw UserError(
        "data.template: plain ends answers with the tokenizer's end-of-text token, and this "
        "tokenizer has none; use another template");
  }
  const Frame frame = frame_of(chat_, "any");
  for (const auto& piece : frame.before_first + frame.before_next + frame.before_answer +
                               ChatPieces{special_piece(closing_token(chat_))}) {
    if (!piece.special || tokenizer.special_id(piece.text)) continue;
    throw UserError(std::string("data.template: ") + name_of(chat_.format) + " needs " +
                    piece.text +
                    ", which is no special token of the model's tokenizer; use another template");
  }
}

std::vector<int32_t> TranscriptMaker::end_tokens() const {
  std::vector<int32_t> ids;
  if (const auto closing = closing_token(chat_); !closing.empty())
    ids.push_back(*tokenizer_.special_id(closing));
  const int32_t eos = tokenizer_.eos_id();
  if (eos >= 0 && (ids.empty() || ids.front() != eos)) ids.push_back(eos);
  return ids;
}

Transcript TranscriptMaker::make(const std::vector<ChatMessage>& messages) const {
  const bool has_system = !messages.empty() && messages.front().role == ChatRole::kSystem;
  const std::string system = has_system ? messages.front().content : "";
  const Frame frame = frame_of(chat_, system);
  const int32_t end_token = end_tokens().front();

  Writer writer(tokenizer_);
  const bool plain_bos =
      chat_.format == ChatFormat::kPlain && chat_.begins_with_bos && tokenizer_.bos_id() >= 0;
  if (plain_bos) writer.add_special(tokenizer_.bos_id());
  bool is_first = true;
  for (const ChatMessage& message : messages) {
    if (message.role == ChatRole::kSystem) continue;
    if (message.role == ChatRole::kAssistant) {
      const std::string answer =
          chat_.trims ? strip_right(strip_left(message.content)) : message.content;
      writer.add_answer(begun_answer(chat_, answer).text, end_token);
      continue;
    }
    writer.add(is_first ? frame.before_first : frame.before_next);
    const Asked asked = asked_of(message, chat_, is_first ? system : "");
    if (is_first) {
      writer.add_first(asked);
    } else {
      writer.add({text_piece(asked.text)});
    }
    writer.add(frame.before_answer);
    is_first = false;
  }
  return writer.take();
}

}  // namespace lococo
