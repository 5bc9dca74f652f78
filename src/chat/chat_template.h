// The forms of a conversation that are known: which one a template's text asks for.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace lococo {

enum class ChatFormat {
  kNone,      ///< for models that were never tuned on conversations: "Question: ...\nAnswer:"
  kPlain,     ///< records of data.template plain: [BOS] system \n user \n answer EOS user \n ...
  kLlama2,    ///< [INST] ... [/INST], between <s> and </s>
  kLlama3,    ///< <|start_header_id|>user<|end_header_id|> ... <|eot_id|>
  kChatml,    ///< <|im_start|>user ... <|im_end|>
  kLongLora,  ///< LongLoRA's: llama-2 without its blanks, and messages as they are
};

/// none, plain, llama-2, llama-3, chatml, longlora.
const char* name_of(ChatFormat format);

/// The format of that name; nullopt for another.
std::optional<ChatFormat> format_named(std::string_view name);

struct ChatTemplate {
  ChatFormat format = ChatFormat::kNone;
  std::string bos;  ///< special token before a conversation (llama-2: each turn); "": none
  std::string eos;  ///< llama-2 and longlora alone: the special token that ends an answer
  bool begins_with_bos = true;  ///< none and plain: a text begins with the tokenizer's BOS, if any
  bool trims = false;           ///< messages lose the blanks at their ends
  std::string system;           ///< stands where a conversation has no system message of its own
  std::string preamble;  ///< llama-3 from 3.1 on: begins the system message, which is always there
};

/// What templates speak of by name, from the model's tokenizer_config.json, and the day.
struct TemplateValues {
  std::string bos, eos;  ///< bos_token and eos_token; "": none
  std::string today;     ///< "26 Jul 2024"
};

/// The format in the form that most models of it have: no system message of its own, no dates.
ChatTemplate usual_template(ChatFormat format, const TemplateValues& values);

/// The template that a Jinja text amounts to for conversations of system, user and assistant
/// messages without tools. The text is compared with known ones, blanks aside, and not interpreted:
/// nullopt for one that is or may be different.
std::optional<ChatTemplate> recognise_template(std::string_view text, const TemplateValues& values);

}  // namespace lococo
