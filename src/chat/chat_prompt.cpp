#include "chat/chat_prompt.h"

#include <algorithm>
#include <utility>

#include "chat/blanks.h"
#include "core/error.h"

namespace lococo {
namespace {

constexpr const char* kQuestion = "Question: ";

ChatPiece special(const std::string& text) { return {text, /*special=*/true}; }
ChatPiece ordinary(const std::string& text) { return {text, /*special=*/false}; }

using Pieces = std::vector<ChatPiece>;

Pieces operator+(Pieces left, const Pieces& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

/// The token that ends a message, by its text.
std::string closing_token(const ChatTemplate& chat) {
  switch (chat.format) {
    case ChatFormat::kPlain:
      return "";
    case ChatFormat::kLlama2:
      return chat.eos;
    case ChatFormat::kLlama3:
      return "<|eot_id|>";
    case ChatFormat::kChatml:
      return "<|im_end|>";
  }
  return "";
}

}  // namespace

ChatPrompt::ChatPrompt(ChatTemplate chat, const Tokenizer& tokenizer, bool begins_with_bos)
    : chat_(std::move(chat)), tokenizer_(tokenizer), begins_with_bos_(begins_with_bos) {
  for (const auto& piece : before_user("any") + behind_user() + behind_answer()) {
    if (piece.special && !tokenizer.special_id(piece.text)) {
      throw UserError(std::string("generate.chat_template: ") + name_of(chat_.format) + " needs " +
                      piece.text +
                      ", which is no special token of the model's tokenizer; is the template the "
                      "model's own?");
    }
  }
}

Pieces ChatPrompt::header(const std::string& role) const {
  if (chat_.format == ChatFormat::kChatml) return {special("<|im_start|>"), ordinary(role + "\n")};
  return {special("<|start_header_id|>"), ordinary(role), special("<|end_header_id|>"),
          ordinary("\n\n")};
}

Pieces ChatPrompt::ended_message(const std::string& role, const std::string& content) const {
  Pieces pieces = header(role) + Pieces{ordinary(content), special(closing_token(chat_))};
  if (chat_.format == ChatFormat::kChatml) pieces.push_back(ordinary("\n"));
  return pieces;
}

/// Everything before the first message of the user.
Pieces ChatPrompt::before_user(const std::string& system) const {
  Pieces pieces;
  if (!chat_.bos.empty()) pieces.push_back(special(chat_.bos));
  if (chat_.format == ChatFormat::kPlain) {
    if (!system.empty()) pieces.push_back(ordinary(system + "\n\n"));
    return pieces;
  }
  if (chat_.format == ChatFormat::kLlama2) {
    pieces.push_back(ordinary("[INST] "));
    if (!system.empty()) pieces.push_back(ordinary("<<SYS>>\n" + system + "\n<</SYS>>\n\n"));
    return pieces;
  }
  std::string own = chat_.system;
  if (!system.empty()) own = chat_.trims ? strip_right(strip_left(system)) : system;
  const bool has_system = !system.empty() || !chat_.system.empty() || !chat_.preamble.empty();
  if (has_system) pieces = pieces + ended_message("system", chat_.preamble + own);
  return pieces + header("user");
}

/// From the end of what the user wrote to the beginning of the answer.
Pieces ChatPrompt::behind_user() const {
  if (chat_.format == ChatFormat::kPlain) return {ordinary("\nAnswer:")};
  if (chat_.format == ChatFormat::kLlama2) return {ordinary(" [/INST]")};
  Pieces pieces = {special(closing_token(chat_))};
  if (chat_.format == ChatFormat::kChatml) pieces.push_back(ordinary("\n"));
  return pieces + header("assistant");
}

/// From the end of an answer, its end token included, to what the user writes next.
Pieces ChatPrompt::behind_answer() const {
  if (chat_.format == ChatFormat::kPlain) return {ordinary(std::string("\n\n") + kQuestion)};
  if (chat_.format == ChatFormat::kLlama2)
    return {special(chat_.eos), special(chat_.bos), ordinary("[INST] ")};
  Pieces pieces = {special(closing_token(chat_))};
  if (chat_.format == ChatFormat::kChatml) pieces.push_back(ordinary("\n"));
  return pieces + header("user");
}

/// llama-2 strips a message with the system message in front of it, which has no blanks there.
std::string ChatPrompt::left_stripped(const std::string& text, const std::string& system) const {
  const bool behind_system = chat_.format == ChatFormat::kLlama2 && !system.empty();
  return chat_.trims && !behind_system ? strip_left(text) : text;
}

std::string ChatPrompt::right_stripped(const std::string& text) const {
  return chat_.trims ? strip_right(text) : text;
}

ChatPrompt::Ids ChatPrompt::first_turn(const std::string& system, const std::string& user) const {
  const std::string asks = chat_.format == ChatFormat::kPlain ? kQuestion : "";
  const std::string message = asks + right_stripped(left_stripped(user, system));
  return encode(before_user(system) + Pieces{ordinary(message)} + behind_user(),
                /*continues_text=*/false);
}

/// Where the answer stands behind text, a blank comes first.
ChatPiece ChatPrompt::begun_answer(const std::string& answer) const {
  const bool has_blank = chat_.format == ChatFormat::kPlain || chat_.format == ChatFormat::kLlama2;
  return ordinary(answer.empty() || !has_blank ? answer : " " + answer);
}

ChatPrompt::Ids ChatPrompt::next_turn(const std::string& user, bool is_closed,
                                      const std::string& answer) const {
  Pieces pieces = behind_answer();
  if (is_closed && pieces.front().special) pieces.erase(pieces.begin());
  const std::string message = right_stripped(left_stripped(user, ""));
  return encode(pieces + Pieces{ordinary(message)} + behind_user() + Pieces{begun_answer(answer)},
                /*continues_text=*/true);
}

ChatPrompt::Ids ChatPrompt::context(const std::string& system, const std::string& text) const {
  return encode(before_user(system) + Pieces{ordinary(left_stripped(text, system))},
                /*continues_text=*/false);
}

ChatPrompt::Ids ChatPrompt::question(const std::string& question, const std::string& answer) const {
  const bool is_plain = chat_.format == ChatFormat::kPlain;
  return encode(Pieces{ordinary(right_stripped(question))} + (is_plain ? Pieces() : behind_user()) +
                    Pieces{begun_answer(answer)},
                /*continues_text=*/true);
}

ChatPrompt::Ids ChatPrompt::question_about_document(const std::string& asked) const {
  if (chat_.format != ChatFormat::kPlain) return question("\n\n" + asked);
  return encode(Pieces{ordinary(std::string("\n\n") + kQuestion + asked)} + behind_user(),
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
  if (chat_.format == ChatFormat::kPlain) return {std::string("\n") + kQuestion};
  return {};
}

ChatPrompt::Ids ChatPrompt::encode(const Pieces& pieces, bool continues_text) const {
  Ids ids;
  if (begins_with_bos_ && chat_.format == ChatFormat::kPlain && !continues_text &&
      tokenizer_.bos_id() >= 0)
    ids.push_back(tokenizer_.bos_id());
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
