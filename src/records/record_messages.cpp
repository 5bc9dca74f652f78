#include "records/record_messages.h"

#include <nlohmann/json.hpp>

#include "chat/blanks.h"
#include "core/error.h"

namespace lococo {
namespace {

using Json = nlohmann::json;

[[noreturn]] void fail(const std::string& place, const std::string& what) {
  throw UserError(place + ": " + what);
}

std::string text_of(const Json& object, const char* key, const std::string& place) {
  const auto found = object.find(key);
  if (found == object.end()) fail(place, "the record has no \"" + std::string(key) + "\"");
  if (!found->is_string())
    fail(place, "\"" + std::string(key) + "\" holds no text but " + found->type_name());
  return found->get<std::string>();
}

bool is_empty(const std::string& text) { return strip_left(text).empty(); }

/// Where the last line that is not blank begins; 0 for the only one.
size_t last_line(const std::string& text) {
  const size_t last = text.find_last_not_of(" \t\r\n");
  if (last == std::string::npos) return 0;
  const size_t before = text.rfind('\n', last);
  return before == std::string::npos ? 0 : before + 1;
}

ChatMessage user_message(const std::string& instruction, const std::string& input) {
  ChatMessage message = {ChatRole::kUser, instruction};
  if (input.empty()) {
    message.document_end = last_line(instruction);
  } else {
    message.content += "\n" + input;
    message.document_begin = instruction.size() + 1;
    message.document_end = message.content.size();
  }
  return message;
}

std::vector<ChatMessage> of_instruction(const Json& record, const std::string& place) {
  const std::string instruction = text_of(record, "instruction", place);
  const auto input = record.find("input");
  const bool has_input = input != record.end() && !input->is_null();
  const std::string output = text_of(record, "output", place);
  if (is_empty(instruction)) fail(place, "\"instruction\" is empty");
  if (is_empty(output)) fail(place, "\"output\" is empty: there is no answer to train on");
  return {user_message(instruction, has_input ? text_of(record, "input", place) : ""),
          {ChatRole::kAssistant, output}};
}

ChatRole role_of(const Json& message, const std::string& place) {
  const std::string role = text_of(message, "role", place);
  if (role == "system") return ChatRole::kSystem;
  if (role == "user") return ChatRole::kUser;
  if (role == "assistant") return ChatRole::kAssistant;
  fail(place, "unknown role \"" + role.substr(0, 60) + "\"; use system, user or assistant");
}

void check_order(const std::vector<ChatMessage>& messages, const std::string& place) {
  ChatRole wanted = ChatRole::kUser;
  for (size_t i = 0; i < messages.size(); ++i) {
    const ChatRole role = messages[i].role;
    if (role == ChatRole::kSystem && i == 0) continue;
    if (role == ChatRole::kSystem)
      fail(place, "message " + std::to_string(i + 1) + " is of the system, which speaks first");
    if (role != wanted) {
      fail(place, "message " + std::to_string(i + 1) + " is the " +
                      (role == ChatRole::kUser ? "user's" : "assistant's") +
                      ", but user and assistant speak in turn, the user first");
    }
    wanted = role == ChatRole::kUser ? ChatRole::kAssistant : ChatRole::kUser;
  }
  if (messages.empty() || messages.back().role != ChatRole::kAssistant)
    fail(place, "the last message is not the assistant's: there is no answer to train on");
}

std::vector<ChatMessage> of_messages(const Json& list, const std::string& place) {
  if (!list.is_array())
    fail(place, std::string("\"messages\" holds no list but ") + list.type_name());
  std::vector<ChatMessage> messages;
  for (const Json& item : list) {
    if (!item.is_object())
      fail(place, std::string("a message is no object {role, content} but ") + item.type_name());
    const ChatRole role = role_of(item, place);
    const std::string content = text_of(item, "content", place);
    if (role == ChatRole::kAssistant && is_empty(content))
      fail(place, "an answer of the assistant is empty");
    messages.push_back(role == ChatRole::kUser ? user_message(content, "")
                                               : ChatMessage{role, content});
  }
  check_order(messages, place);
  return messages;
}

}  // namespace

std::vector<ChatMessage> record_messages(const Json& record, const std::string& place) {
  const auto messages = record.find("messages");
  if (messages != record.end()) {
    if (record.contains("instruction"))
      fail(place, "the record has both \"messages\" and \"instruction\"; keep one of them");
    return of_messages(*messages, place);
  }
  if (!record.contains("instruction"))
    fail(place, "the record has neither \"instruction\" and \"output\" nor \"messages\"");
  return of_instruction(record, place);
}

}  // namespace lococo
