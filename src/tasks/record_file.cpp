#include "tasks/record_file.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "data/json_lines.h"

namespace lococo {
void Record::fail(const std::string& what) const { throw UserError(place_ + ": " + what); }

const nlohmann::json& Record::at(const char* key) const {
  const auto it = object_.find(key);
  if (it == object_.end()) fail("the record has no key '" + std::string(key) + "'");
  return *it;
}

std::string Record::text(const char* key) const {
  const nlohmann::json& value = at(key);
  if (!value.is_string()) {
    fail("key '" + std::string(key) + "' holds no text but " + value.type_name());
  }
  auto text = value.get<std::string>();
  if (is_blank_text(text)) fail("the text of key '" + std::string(key) + "' is empty");
  return text;
}

std::string Record::optional_text(const char* key) const {
  return object_.contains(key) ? text(key) : "";
}

std::vector<std::string> Record::texts(const char* key, size_t fewest) const {
  const nlohmann::json& list = at(key);
  const std::string name = "key '" + std::string(key) + "'";
  if (!list.is_array()) fail(name + " holds no list of texts but " + list.type_name());
  std::vector<std::string> texts;
  for (const nlohmann::json& item : list) {
    if (!item.is_string()) fail(name + " holds " + item.type_name() + " where a text should be");
    texts.push_back(item.get<std::string>());
    if (is_blank_text(texts.back())) fail(name + " holds an empty text");
    if (std::count(texts.begin(), texts.end(), texts.back()) > 1) {
      fail(name + " holds '" + texts.back() + "' twice");
    }
  }
  if (texts.size() < fewest) {
    fail(name + " holds " + std::to_string(texts.size()) + " texts, at least " +
         std::to_string(fewest) + " are needed");
  }
  return texts;
}

int64_t Record::index(const char* key, const std::vector<std::string>& options) const {
  const nlohmann::json& value = at(key);
  const std::string name = "key '" + std::string(key) + "'";
  const auto count = static_cast<int64_t>(options.size());
  if (value.is_number_integer()) {
    // Beyond int64_t a number is none of them either.
    const double number = value.get<double>();
    if (number < 0 || number >= static_cast<double>(count)) {
      fail(name + " is " + value.dump() + ", but options are counted from 0 to " +
           std::to_string(count - 1));
    }
    return value.get<int64_t>();
  }
  if (!value.is_string()) fail(name + " is neither an option's index nor its text");
  const auto it = std::find(options.begin(), options.end(), value.get<std::string>());
  if (it == options.end()) fail(name + " is none of the options");
  return it - options.begin();
}

void for_each_record(const std::string& path, const std::string& key,
                     const std::function<void(const Record&)>& callback) {
  if (path.empty()) throw UserError(key + " is missing: name the JSONL file of the questions");
  for_each_json_line(path, [&](const nlohmann::json& record, const std::string& place) {
    callback(Record(record, place));
  });
}

}  // namespace lococo
