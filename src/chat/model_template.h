// The chat template that a model's own files bring.
#pragma once

#include <optional>
#include <string>

#include "chat/chat_template.h"

namespace lococo {

/// What the user chose: auto (the model's own), or a template by its name.
struct TemplateChoice {
  std::optional<ChatFormat> format;  ///< nullopt: auto
  bool required = true;              ///< auto: refuse a model without a template, or take kNone
  /// What messages tell the user to do instead.
  const char* advice =
      "set generate.chat_template to llama-2, llama-3, chatml, longlora, plain or none (questions "
      "and answers as plain text)";
};

/// The template for a model folder (or that of its tokenizer): chat_template.jinja, else
/// "chat_template" of tokenizer_config.json (of a list the one named "default"). A format that is
/// chosen and that the model's own template has too keeps what is the model's own (its default
/// system message); else it is usual_template(). `today` as in TemplateValues.
///
/// Throws UserError for files that cannot be read, and in auto for a template that is not known,
/// or, where one is required, for none; the line names those that exist.
ChatTemplate model_template(const std::string& folder, const TemplateChoice& choice,
                            const std::string& today);

/// The template that a folder brings, where it is known; nullopt for none too. Throws UserError for
/// files that cannot be read.
std::optional<ChatTemplate> known_template(const std::string& folder, const std::string& today);

/// The folder whose template a model has: its own, else that of its tokenizer's file.
std::string template_folder(const std::string& model_path, const std::string& tokenizer_path);

/// The day as templates write it, "26 Jul 2024", local time.
std::string today_text();

/// The day that training and evaluation name: what they read must be the same on every one.
inline constexpr const char* kFixedDay = "26 Jul 2024";

}  // namespace lococo
