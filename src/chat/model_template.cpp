#include "chat/model_template.h"

#include <ctime>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/json_file.h"

namespace lococo {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kLargestTemplate = 1'000'000;

/// "<s>" of "bos_token": "<s>" and of {"content": "<s>", ...}.
std::string token_text(const Json& config, const char* key) {
  const auto found = config.find(key);
  if (found == config.end()) return "";
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_object()) return "";
  const auto content = found->find("content");
  return content != found->end() && content->is_string() ? content->get<std::string>() : "";
}

std::string text_field(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

/// A template's text and where it stands; no place when there is none.
struct TemplateText {
  std::string text, place;
};

TemplateText of_config(const Json& config, const std::string& path) {
  TemplateText own = {"", path + ": chat_template"};
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return {};
  if (found->is_string()) own.text = found->get<std::string>();
  if (!found->is_array()) return own;
  for (const auto& entry : *found) {
    if (entry.is_object() && text_field(entry, "name") == "default")
      own.text = text_field(entry, "template");
  }
  return own;
}

TemplateText own_template(const std::string& folder, const Json& config,
                          const std::string& config_path) {
  const std::string path = folder + "/chat_template.jinja";
  if (path_exists(path)) return {read_text_file(path, kLargestTemplate), path};
  return of_config(config, config_path);
}

/// What a folder says of its template.
struct FolderTemplate {
  FolderTemplate(const std::string& folder, const std::string& today) {
    const std::string config_path = folder + "/tokenizer_config.json";
    const Json config = path_exists(config_path) ? read_json_object(config_path) : Json::object();
    values = {token_text(config, "bos_token"), token_text(config, "eos_token"), today};
    own = own_template(folder, config, config_path);
    known = recognise_template(own.text, values);
  }
  TemplateValues values;
  TemplateText own;
  std::optional<ChatTemplate> known;
};

}  // namespace

ChatTemplate model_template(const std::string& folder, const TemplateChoice& choice,
                            const std::string& today) {
  const FolderTemplate found(folder, today);
  if (choice.format) {
    const bool is_own = found.known && found.known->format == *choice.format;
    return is_own ? *found.known : usual_template(*choice.format, found.values);
  }
  if (found.known) return *found.known;
  if (!found.own.place.empty())
    throw UserError(found.own.place + ": is none of the templates known here; " + choice.advice);
  if (choice.required) throw UserError(folder + ": has no chat template; " + choice.advice);
  return usual_template(ChatFormat::kNone, found.values);
}

std::optional<ChatTemplate> known_template(const std::string& folder, const std::string& today) {
  return FolderTemplate(folder, today).known;
}

std::string template_folder(const std::string& model_path, const std::string& tokenizer_path) {
  return model_path.empty() ? parent_folder(tokenizer_path) : model_path;
}

std::string today_text() {
  const std::time_t now = std::time(nullptr);
  std::tm local = {};
  localtime_r(&now, &local);
  char text[32];
  const size_t length = std::strftime(text, sizeof text, "%d %b %Y", &local);
  return {text, length};
}

}  // namespace lococo
