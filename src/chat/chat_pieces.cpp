#include "chat/chat_pieces.h"

#include "chat/blanks.h"

namespace lococo {

ChatPieces operator+(ChatPieces left, const ChatPieces& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

std::string closing_token(const ChatTemplate& chat) {
  switch (chat.format) {
    case ChatFormat::kNone:
    case ChatFormat::kPlain:
      return "";
    case ChatFormat::kLlama2:
    case ChatFormat::kLongLora:
      return chat.eos;
    case ChatFormat::kLlama3:
      return "<|eot_id|>";
    case ChatFormat::kChatml:
      return "<|im_end|>";
  }
  return "";
}

namespace {

bool has_inst(const ChatTemplate& chat) {
  return chat.format == ChatFormat::kLlama2 || chat.format == ChatFormat::kLongLora;
}

/// Between [INST] and what stands in it.
std::string blank(const ChatTemplate& chat) {
  return chat.format == ChatFormat::kLlama2 ? " " : "";
}

ChatPieces header(const ChatTemplate& chat, const std::string& role) {
  if (chat.format == ChatFormat::kChatml)
    return {special_piece("<|im_start|>"), text_piece(role + "\n")};
  return {special_piece("<|start_header_id|>"), text_piece(role),
          special_piece("<|end_header_id|>"), text_piece("\n\n")};
}

ChatPieces ended_message(const ChatTemplate& chat, const std::string& role,
                         const std::string& content) {
  ChatPieces pieces =
      header(chat, role) + ChatPieces{text_piece(content), special_piece(closing_token(chat))};
  if (chat.format == ChatFormat::kChatml) pieces.push_back(text_piece("\n"));
  return pieces;
}

}  // namespace

ChatPieces before_user(const ChatTemplate& chat, const std::string& system) {
  ChatPieces pieces;
  if (!chat.bos.empty()) pieces.push_back(special_piece(chat.bos));
  if (chat.format == ChatFormat::kNone) {
    if (!system.empty()) pieces.push_back(text_piece(system + "\n\n"));
    return pieces;
  }
  if (chat.format == ChatFormat::kPlain) {
    if (!system.empty()) pieces.push_back(text_piece(system + "\n"));
    return pieces;
  }
  if (has_inst(chat)) {
    pieces.push_back(text_piece("[INST]" + blank(chat)));
    if (!system.empty()) pieces.push_back(text_piece("<<SYS>>\n" + system + "\n<</SYS>>\n\n"));
    return pieces;
  }
  std::string own = chat.system;
  if (!system.empty()) own = chat.trims ? strip_right(strip_left(system)) : system;
  const bool has_system = !system.empty() || !chat.system.empty() || !chat.preamble.empty();
  if (has_system) pieces = pieces + ended_message(chat, "system", chat.preamble + own);
  return pieces + header(chat, "user");
}

ChatPieces behind_user(const ChatTemplate& chat) {
  if (chat.format == ChatFormat::kNone) return {text_piece("\nAnswer:")};
  if (chat.format == ChatFormat::kPlain) return {text_piece("\n")};
  if (has_inst(chat)) return {text_piece(blank(chat) + "[/INST]")};
  ChatPieces pieces = {special_piece(closing_token(chat))};
  if (chat.format == ChatFormat::kChatml) pieces.push_back(text_piece("\n"));
  return pieces + header(chat, "assistant");
}

ChatPieces behind_answer(const ChatTemplate& chat) {
  if (chat.format == ChatFormat::kNone) return {text_piece(std::string("\n\n") + kChatQuestion)};
  if (chat.format == ChatFormat::kPlain) return {};
  if (has_inst(chat))
    return {special_piece(chat.eos), special_piece(chat.bos), text_piece("[INST]" + blank(chat))};
  ChatPieces pieces = {special_piece(closing_token(chat))};
  if (chat.format == ChatFormat::kChatml) pieces.push_back(text_piece("\n"));
  return pieces + header(chat, "user");
}

/// llama-2 strips a message with the system message in front of it, which has no blanks there.
std::string left_stripped(const ChatTemplate& chat, const std::string& text,
                          const std::string& system) {
  const bool behind_system = chat.format == ChatFormat::kLlama2 && !system.empty();
  return chat.trims && !behind_system ? strip_left(text) : text;
}

std::string right_stripped(const ChatTemplate& chat, const std::string& text) {
  return chat.trims ? strip_right(text) : text;
}

ChatPiece begun_answer(const ChatTemplate& chat, const std::string& answer) {
  const bool has_blank = chat.format == ChatFormat::kNone || chat.format == ChatFormat::kLlama2;
  return text_piece(answer.empty() || !has_blank ? answer : " " + answer);
}

}  // namespace lococo
