// A conversation as token ids, turn by turn.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "chat/chat_pieces.h"
#include "chat/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace lococo {

/// Makes the ids that transformers' apply_chat_template(add_generation_prompt=True) makes. Special
/// tokens are set by their ids, and what people wrote is ordinary text: nobody ends a turn by
/// typing its end token. (Text next to a special token is encoded by itself, as tokenizers do.)
///
/// An answer is what the model makes after the ids of a turn, up to one of end_tokens().
class ChatPrompt {
 public:
  using Ids = std::vector<int32_t>;

  /// The tokenizer must outlive this. Throws UserError when it lacks a special token of the
  /// template, or the end of a text for kPlain.
  ChatPrompt(ChatTemplate chat, const Tokenizer& tokenizer);

  /// The beginning of a conversation up to where the model answers. `system`: "" for none.
  Ids first_turn(const std::string& system, const std::string& user) const;

  /// What the next turn adds behind an answer. `is_closed`: the ids before end with the token that
  /// ends an answer; else it comes first. `answer`: how the next answer begins ("" mostly). `said`:
  /// the end of the last answer, where the ids before lack it; it comes before everything.
  Ids next_turn(const std::string& user, bool is_closed, const std::string& answer = "",
                const std::string& said = "") const;

  /// The two halves of a first turn whose message begins with a long text: its ids up to the end of
  /// `text`, which do not depend on what is asked, and the rest, from `question` to the beginning
  /// of the answer, `answer` ("" mostly). The message is text + question as they are; in kNone
  /// that and the answer's beginning after a blank are all.
  Ids context(const std::string& system, const std::string& text) const;
  Ids question(const std::string& question, const std::string& answer = "") const;

  /// The second half of a question about a document: in a paragraph of its own, and in kNone
  /// between "Question: " and "Answer:".
  Ids question_about_document(const std::string& question) const;

  /// Each ends an answer; what the template's own is comes first. Empty for a plain text of a
  /// tokenizer without EOS.
  Ids end_tokens() const;

  /// Texts that end an answer too: in kNone where the next question would begin.
  std::vector<std::string> stop_texts() const;

  const ChatTemplate& chat() const { return chat_; }

 private:
  /// BOS, where a text begins with it.
  Ids beginning() const;
  Ids encode(const ChatPieces& pieces, bool continues_text) const;
  /// Ids of a text that stands behind other text: without the blank that SentencePiece puts before
  /// a text.
  Ids encode_behind_text(const std::string& text) const;

  ChatTemplate chat_;
  const Tokenizer& tokenizer_;
};

}  // namespace lococo
