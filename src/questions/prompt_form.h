// How a long text and a question become token ids: plainly here, or as a turn of a conversation.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace lococo {

/// `context` is read (and compressed) before anybody knows the `question`, which reaches to where
/// the answer begins.
struct PromptIds {
  std::vector<int32_t> context, question;
  int64_t size() const { return static_cast<int64_t>(context.size() + question.size()); }
};

/// May be used from several threads at once.
class PromptForm {
 public:
  virtual ~PromptForm() = default;

  /// The prompt is context + question + " " + answer_prefix (no blank for an empty one), with which
  /// the answer begins: in a conversation the prefix is the first thing that the assistant says.
  virtual PromptIds ids(const std::string& context, const std::string& question,
                        const std::string& answer_prefix) const = 0;
  virtual const Tokenizer& tokenizer() const = 0;

  /// The ids with which a prompt that ends with `answer_prefix` goes on: a blank (none behind an
  /// empty prefix) and the answer.
  std::vector<int32_t> answer_ids(const std::string& answer_prefix,
                                  const std::string& answer) const;
};

/// The text alone, behind what the tokenizer puts before a text. The two halves are those of the
/// whole text's ids: where the tokenizer joins the context's end with the question, those tokens
/// belong to the question.
class PlainForm final : public PromptForm {
 public:
  explicit PlainForm(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  PromptIds ids(const std::string& context, const std::string& question,
                const std::string& answer_prefix) const override;
  const Tokenizer& tokenizer() const override { return tokenizer_; }

 private:
  const Tokenizer& tokenizer_;
};

}  // namespace lococo
