// What the questions of a task are made of, from a config.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "chat/chat_prompt.h"
#include "config/config.h"
#include "eval/sample_stream.h"
#include "questions/hay.h"
#include "questions/prompt_form.h"
#include "tasks/chat_form.h"
#include "tasks/task_source.h"
#include "tokenizer/tokenizer.h"

namespace lococo {

/// The form of prompts and the texts around what is asked. Prompts are turns of a conversation
/// where the model has a template, but for the pass key and for options to choose from, whose
/// protocols are text that goes on: there only where generate.chat_template names one.
class TaskPrompts {
 public:
  /// The tokenizer must outlive this. Throws UserError for a template that is not known, for
  /// data.validation that is needed and is not there, holds tokens or cannot be read.
  TaskPrompts(const Config& config, const Tokenizer& tokenizer);
  // A form refers to the conversation.
  TaskPrompts(const TaskPrompts&) = delete;
  TaskPrompts& operator=(const TaskPrompts&) = delete;

  /// Another source of the same samples; this must outlive it.
  std::unique_ptr<TaskSource> make_source() const;

  /// Throws UserError for whatever is wrong with the questions, as far as a few of them tell
  /// (TaskSource::telling_samples); returns those.
  MadeSamples checked_samples() const;

  /// Tokens and texts of the template that end an answer; may be none.
  std::vector<int32_t> end_tokens() const;
  std::vector<std::string> stop_texts() const;

 private:
  const Config& config_;
  std::optional<ChatPrompt> chat_;
  std::unique_ptr<PromptForm> form_;
  std::optional<Hay> texts_;
};

}  // namespace lococo
