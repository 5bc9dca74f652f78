#include "chat/chat_prompt.h"

#include <algorithm>
#include <utility>

#include "core/error.h"

namespace lococo {
namespace {

ChatPrompt::Ids operator+(ChatPrompt::Ids left, const ChatPrompt::Ids& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

}  // namespace

ChatPrompt::ChatPrompt(ChatTemplate chat, const Tokenizer& tokenizer)
    : chat_(std::move(chat)), tokenizer_(tokenizer) {
  if (chat_.format == ChatFormat::kPlain && tokenizer.eos_id() < 0) {
    throw UserError(
        "generate.chat_template: plain ends answers with the tokenizer's end-of-text token, and "
        "this tokenizer has none; use another template");
  }
  for (const auto& piece : before_user(chat_, "any") + behind_user(chat_) + behind_answer(chat_)) {
    if (piece.special && !tokenizer.special_id(piece.text)) {
      throw UserError(std::string("generate.chat_template: ") + name_of(chat_.format) + " needs " +
                      piece.text +
                      ", which is no special token of the model's tokenizer; is the template the "
                      "model's own?");
    }
  }
}

ChatPrompt::Ids ChatPrompt::first_turn(const std::string& system, const std::string& user) const {
  const std::string asks = chat_.format == ChatFormat::kNone ? kChatQuestion : "";
  const std::string message = asks + right_stripped(chat_, left_stripped(chat_, user, system));
  return beginning() +
         encode(before_user(chat_, system) + ChatPieces{text_piece(message)} + behind_user(chat_),
                /*continues_text=*/false);
}

ChatPrompt::Ids ChatPrompt::next_turn(const std::string& user, bool is_closed,
                                      const std::string& answer, const std::string& said) const {
  ChatPieces pieces = behind_answer(chat_);
  if (is_closed && !pieces.empty() && pieces.front().special) pieces.erase(pieces.begin());
  const std::string message = right_stripped(chat_, left_stripped(chat_, user, ""));
  if (chat_.format == ChatFormat::kPlain) {
    return encode({text_piece(said)}, /*continues_text=*/true) +
           (is_closed ? Ids() : Ids{tokenizer_.eos_id()}) +
           encode(ChatPieces{text_piece(message)} + behind_user(chat_) +
                      ChatPieces{begun_answer(chat_, answer)},
                  /*continues_text=*/false);
  }
  return encode(ChatPieces{text_piece(said)} + pieces + ChatPieces{text_piece(message)} +
                    behind_user(chat_) + ChatPieces{begun_answer(chat_, answer)},
                /*continues_text=*/true);
}

ChatPrompt::Ids ChatPrompt::context(const std::string& system, const std::string& text) const {
  return beginning() + encode(before_user(chat_, system) +
                                  ChatPieces{text_piece(left_stripped(chat_, text, system))},
                              /*continues_text=*/false);
}

ChatPrompt::Ids ChatPrompt::question(const std::string& question, const std::string& answer) const {
  const bool is_plain = chat_.format == ChatFormat::kNone;
  return encode(ChatPieces{text_piece(right_stripped(chat_, question))} +
                    (is_plain ? ChatPieces() : behind_user(chat_)) +
                    ChatPieces{begun_answer(chat_, answer)},
                /*continues_text=*/true);
}

ChatPrompt::Ids ChatPrompt::question_about_document(const std::string& asked) const {
  if (chat_.format != ChatFormat::kNone) return question("\n\n" + asked);
  return encode(
      ChatPieces{text_piece(std::string("\n\n") + kChatQuestion + asked)} + behind_user(chat_),
      /*continues_text=*/true);
}

ChatPrompt::Ids ChatPrompt::end_tokens() const {
  Ids ids;
  const auto add = [&](std::optional<int32_t> id) {
    if (id && *id >= 0 && std::find(ids.begin(), ids.end(), *id) == ids.end()) ids.push_back(*id);
  };
  add(tokenizer_.special_id(closing_token(chat_)));
  if (chat_.format == ChatFormat::kLlama3) add(tokenizer_.special_id("<|eom_id|>"));
  add(tokenizer_.eos_id());
  return ids;
}

std::vector<std::string> ChatPrompt::stop_texts() const {
  if (chat_.format == ChatFormat::kNone) return {std::string("\n") + kChatQuestion};
  return {};
}

ChatPrompt::Ids ChatPrompt::beginning() const {
  const bool is_text = chat_.format == ChatFormat::kNone || chat_.format == ChatFormat::kPlain;
  if (!chat_.begins_with_bos || !is_text || tokenizer_.bos_id() < 0) return {};
  return {tokenizer_.bos_id()};
}

ChatPrompt::Ids ChatPrompt::encode(const ChatPieces& pieces, bool continues_text) const {
  Ids ids;
  const auto add = [&](const Ids& more) { ids.insert(ids.end(), more.begin(), more.end()); };
  std::string text;  // pieces between two special tokens are one text
  const auto flush = [&](bool behind_text) {
    if (!text.empty())
      add(behind_text ? encode_behind_text(text) : tokenizer_.encode_ordinary(text));
    text.clear();
  };
  bool behind_text = continues_text;
  for (const auto& piece : pieces) {
    if (!piece.special) {
      text += piece.text;
      continue;
    }
    flush(behind_text);
    behind_text = false;
    ids.push_back(tokenizer_.special_id(piece.text).value());
  }
  flush(behind_text);
  return ids;
}

ChatPrompt::Ids ChatPrompt::encode_behind_text(const std::string& text) const {
  const std::string before = "\n";  // joins no letter or blank behind it in any vocabulary
  const Ids head = tokenizer_.encode_ordinary(before);
  const Ids whole = tokenizer_.encode_ordinary(before + text);
  const auto apart = std::mismatch(head.begin(), head.end(), whole.begin(), whole.end());
  if (apart.first != head.end()) return tokenizer_.encode_ordinary(text);
  return {apart.second, whole.end()};
}

}  // namespace lococo
