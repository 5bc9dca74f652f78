#include "chat/template_text.h"

namespace lococo {
namespace {

constexpr const char* kPlain =
    R"({% for message in messages %})"
    R"({% if message['role'] == 'assistant' %}{{ message['content'] + eos_token }})"
    R"({% else %}{{ message['content'] + '\n' }}{% endif %}{% endfor %})"
    "\n";

/// The messages one by one as `content`, that of the system within the user's first.
constexpr const char* kContents =
    R"({% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %})"
    R"({% set system_message = messages[0]['content'] %}{% else %})"
    R"({% set loop_messages = messages %}{% set system_message = false %}{% endif %})"
    R"({% for message in loop_messages %}{% if loop.index0 == 0 and system_message != false %})"
    R"({% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %})"
    R"({% else %}{% set content = message['content'] %}{% endif %})";
constexpr const char* kLlama2 =
    R"({% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content | trim + ' [/INST]' }})"
    R"({% elif message['role'] == 'assistant' %}{{ ' ' + content | trim + ' ' + eos_token }})"
    R"({% endif %}{% endfor %})"
    "\n";
constexpr const char* kLongLora =
    R"({% if message['role'] == 'user' %}{{ bos_token + '[INST]' + content + '[/INST]' }})"
    R"({% elif message['role'] == 'assistant' %}{{ content + eos_token }}{% endif %}{% endfor %})"
    "\n";

constexpr const char* kLlama3 =
    R"({% for message in messages %})"
    R"({% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + )"
    R"(message['content'] | trim + '<|eot_id|>' %})"
    R"({% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }})"
    R"({% endfor %}{% if add_generation_prompt %})"
    R"({{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %})"
    "\n";

constexpr const char* kChatml =
    R"({% for message in messages %})"
    R"({{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }})"
    R"({% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %})"
    "\n";

}  // namespace

std::string template_text(ChatFormat format, bool begins_with_bos) {
  switch (format) {
    case ChatFormat::kNone:
      break;
    case ChatFormat::kPlain:
      return (begins_with_bos ? "{{ bos_token }}" : "") + std::string(kPlain);
    case ChatFormat::kLlama2:
      return std::string(kContents) + kLlama2;
    case ChatFormat::kLlama3:
      return kLlama3;
    case ChatFormat::kChatml:
      return kChatml;
    case ChatFormat::kLongLora:
      return std::string(kContents) + kLongLora;
  }
  return "";
}

}  // namespace lococo
