#include "chat/chat_template.h"

#include "chat/jinja_text.h"
#include "chat/template_text.h"

namespace lococo {
namespace {

constexpr size_t kNone = std::string::npos;

/// A template in its canonical form, where blanks outside of literals are gone.
struct Canonical {
  std::string text;

  bool has(std::string_view part) const { return text.find(part) != kNone; }

  /// The literal that begins with `begin`, which is as it stands in the text; nullopt without one.
  std::optional<std::string> literal(const std::string& begin) const {
    const size_t at = text.find("'" + begin);
    if (at == kNone) return std::nullopt;
    return literal_at(text, at + 1);
  }

  /// Whether messages stand between `before` and `after`; then, whether they are trimmed.
  std::optional<bool> trims_between(const std::string& before, const std::string& after) const {
    const std::string content = before + "message['content']";
    if (has(content + after)) return false;
    if (has(content + "|trim" + after) || has(content + ".strip()" + after)) return true;
    return std::nullopt;
  }

  /// A system message within a literal of its own, "BEGIN...END": it stands where a conversation
  /// has none. "" where the text makes no system message by itself, nullopt where it makes one in
  /// another way.
  std::optional<std::string> default_system(const std::string& begin,
                                            const std::string& end) const {
    const auto found = literal(begin);
    if (!found) return "";
    const std::string head = literal_at(begin, 0);
    const std::string tail = literal_at(end, 0);
    if (!found->ends_with(tail) || found->size() < head.size() + tail.size()) return std::nullopt;
    return found->substr(head.size(), found->size() - head.size() - tail.size());
  }
};

std::optional<ChatTemplate> chatml(const Canonical& jinja, const TemplateValues& values) {
  const auto trims = jinja.trims_between(R"('<|im_start|>'+message['role']+'\n'+)",  //
                                         R"(+'<|im_end|>\n')");
  const auto system = jinja.default_system(R"(<|im_start|>system\n)", R"(<|im_end|>\n)");
  // Thoughts of earlier answers are left out by templates that know them.
  if (!trims || !system || jinja.has("<think>")) return std::nullopt;
  ChatTemplate found = usual_template(ChatFormat::kChatml, values);
  found.trims = *trims;
  found.system = *system;
  if (jinja.has("bos_token")) found.bos = values.bos;
  return found;
}

/// "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n", or nullopt for something
/// else about dates; "" without any.
std::optional<std::string> preamble(const Canonical& jinja, const std::string& today) {
  const auto knowledge = jinja.literal("Cutting Knowledge Date: ");
  if (!knowledge) return "";
  const bool expected = jinja.has(R"(\n'}}{{'Today Date: '+date_string+'\n\n'}})");
  const std::string assigned = "date_string=";
  const size_t fixed = jinja.text.find(assigned + "'");
  const bool from_clock = jinja.has(assigned + "strftime_now('%d %b %Y')");
  if (!expected || (fixed == kNone && !from_clock)) return std::nullopt;
  const std::string date = from_clock ? today : literal_at(jinja.text, fixed + assigned.size() + 1);
  return *knowledge + "Today Date: " + date + "\n\n";
}

std::optional<ChatTemplate> llama3(const Canonical& jinja, const TemplateValues& values) {
  const auto trims = jinja.trims_between(
      R"('<|start_header_id|>'+message['role']+'<|end_header_id|>\n\n'+)", R"(+'<|eot_id|>')");
  const auto begin = preamble(jinja, values.today);
  if (!trims || !begin) return std::nullopt;
  ChatTemplate found = usual_template(ChatFormat::kLlama3, values);
  found.trims = *trims;
  found.preamble = *begin;
  if (!jinja.has("bos_token")) found.bos.clear();
  if (!begin->empty()) return found;
  const auto system =
      jinja.default_system(R"(<|start_header_id|>system<|end_header_id|>\n\n)", "<|eot_id|>");
  if (!system) return std::nullopt;
  found.system = *system;
  return found;
}

std::optional<ChatTemplate> llama2(const Canonical& jinja, const TemplateValues& values) {
  const bool has_turns = (jinja.has("bos_token+'[INST] '+content.strip()+' [/INST]'") ||
                          jinja.has("bos_token+'[INST] '+content|trim+' [/INST]'")) &&
                         (jinja.has("' '+content.strip()+' '+eos_token") ||
                          jinja.has("' '+content|trim+' '+eos_token"));
  const bool has_system =
      jinja.has(R"('<<SYS>>\n'+system_message+'\n<</SYS>>\n\n'+message['content'])");
  // Early ones had a default message in a branch that is never taken.
  const bool own_system = jinja.has("setsystem_message='") && !jinja.has("false==true");
  if (!has_turns || !has_system || own_system) return std::nullopt;
  return usual_template(ChatFormat::kLlama2, values);
}

std::string either(const std::string& text, const char* otherwise) {
  return text.empty() ? otherwise : text;
}

}  // namespace

const char* name_of(ChatFormat format) {
  switch (format) {
    case ChatFormat::kNone:
      return "none";
    case ChatFormat::kPlain:
      return "plain";
    case ChatFormat::kLlama2:
      return "llama-2";
    case ChatFormat::kLlama3:
      return "llama-3";
    case ChatFormat::kChatml:
      return "chatml";
    case ChatFormat::kLongLora:
      return "longlora";
  }
  return "";
}

std::optional<ChatFormat> format_named(std::string_view name) {
  for (const auto format : {ChatFormat::kNone, ChatFormat::kPlain, ChatFormat::kLlama2,
                            ChatFormat::kLlama3, ChatFormat::kChatml, ChatFormat::kLongLora}) {
    if (name == name_of(format)) return format;
  }
  return std::nullopt;
}

ChatTemplate usual_template(ChatFormat format, const TemplateValues& values) {
  ChatTemplate chat;
  chat.format = format;
  if (format == ChatFormat::kLlama2 || format == ChatFormat::kLongLora) {
    chat.bos = either(values.bos, "<s>");
    chat.eos = either(values.eos, "</s>");
    chat.trims = format == ChatFormat::kLlama2;
  } else if (format == ChatFormat::kLlama3) {
    chat.bos = either(values.bos, "<|begin_of_text|>");
    chat.trims = true;
  }
  return chat;
}

std::optional<ChatTemplate> recognise_template(std::string_view text,
                                               const TemplateValues& values) {
  const Canonical jinja = {canonical_template(text)};
  for (const auto recognise : {chatml, llama3, llama2}) {
    if (auto found = recognise(jinja, values)) return found;
  }
  for (const auto format : {ChatFormat::kPlain, ChatFormat::kLongLora}) {
    for (const bool begins_with_bos : {true, false}) {
      if (jinja.text != canonical_template(template_text(format, begins_with_bos))) continue;
      auto chat = usual_template(format, values);
      chat.begins_with_bos = begins_with_bos;
      return chat;
    }
  }
  return std::nullopt;
}

}  // namespace lococo
