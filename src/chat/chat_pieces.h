// What the turns of a conversation consist of in each format: special tokens, and text between
// them.
#pragma once

#include <string>
#include <vector>

#include "chat/chat_template.h"

namespace lococo {

/// A part of a conversation's text: one special token, or text that somebody wrote.
struct ChatPiece {
  std::string text;
  bool special = false;
};
using ChatPieces = std::vector<ChatPiece>;

inline ChatPiece special_piece(const std::string& text) { return {text, /*special=*/true}; }
inline ChatPiece text_piece(const std::string& text) { return {text, /*special=*/false}; }

/// What a question begins with in kNone.
inline constexpr const char* kChatQuestion = "Question: ";

ChatPieces operator+(ChatPieces left, const ChatPieces& right);

/// The token that ends a message, by its text; "" for kNone, and for kPlain, where it is the
/// tokenizer's EOS, whatever its text.
std::string closing_token(const ChatTemplate& chat);

/// Everything before the first message of the user. `system`: "" for none.
ChatPieces before_user(const ChatTemplate& chat, const std::string& system);
/// From the end of what the user wrote to the beginning of the answer.
ChatPieces behind_user(const ChatTemplate& chat);
/// From the end of an answer, its end token (but that of kPlain) included, to what the user writes
/// next.
ChatPieces behind_answer(const ChatTemplate& chat);
/// An answer, or how one begins: where it stands behind text, a blank comes first.
ChatPiece begun_answer(const ChatTemplate& chat, const std::string& answer);

/// A message of the user without the blanks that the template removes. `system`: that of the first
/// message, else "".
std::string left_stripped(const ChatTemplate& chat, const std::string& text,
                          const std::string& system);
std::string right_stripped(const ChatTemplate& chat, const std::string& text);

}  // namespace lococo
