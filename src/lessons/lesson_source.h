// Training sequences that teach to remember: a text with facts in it, and questions about them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "chat/chat_template.h"
#include "questions/hay.h"
#include "tokenizer/tokenizer.h"

namespace lococo {

struct Lesson {
  std::vector<int64_t> tokens;  ///< context_length + 1
  std::vector<uint8_t> kinds;   ///< context_length: TargetKind of the targets tokens[1..]
};

struct LessonOptions {
  int64_t context_length = 4096;
  int64_t far = 256;  ///< see text_kinds()
  /// In which questions are asked; kNone: all in plain text. Plain texts of the lessons begin as
  /// its begins_with_bos says.
  ChatTemplate chat;
};

/// How many sentences the questions of a lesson of `context_length` tokens may be, all together.
/// Throws UserError for a context that is too short for lessons.
int64_t lesson_sentences(int64_t context_length, const Tokenizer& tokenizer);

/// A lesson is a stretch of the texts with sentences put into it at places drawn uniformly, and
/// behind it one question after another, each with its answer: turns of a conversation, or in plain
/// text one sentence after another. lesson_plan.h says what is drawn.
///
/// The answer's ids (not the beginning of the answer's sentence, which evaluation gives too) and
/// the token that ends the turn are TargetKind::kAnswer; everything else is kText or kFar. Where
/// that is shorter than a sequence, the tokenizer's end-of-text token (0 without one) fills it up,
/// and these targets are kIgnored.
class LessonSource {
 public:
  /// Throws UserError for a context or texts that are too short for lessons, and for a tokenizer
  /// without the template's special tokens.
  LessonSource(const LessonOptions& options, Hay texts, std::shared_ptr<const Tokenizer> tokenizer);
  ~LessonSource();
  LessonSource(LessonSource&&) noexcept;
  LessonSource& operator=(LessonSource&&) noexcept;

  /// The same for the same seed and index, in any order and on every machine. May be called from
  /// several threads. Throws UserError when facts run out.
  Lesson lesson(uint64_t seed, int64_t index) const;

  /// Of everything that lessons are made of besides seed, index and the other options: texts,
  /// tokenizer and template.
  uint64_t fingerprint() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lococo
