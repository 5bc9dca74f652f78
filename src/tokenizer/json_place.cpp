#include "tokenizer/json_place.h"

#include "core/error.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/utf8_text.h"

namespace lococo {
namespace {

/// Names and texts may be as long as their file; a message shows only so much of them.
std::string shortened(const std::string& text) {
  constexpr size_t kMost = 600;
  if (text.size() <= kMost) return text;
  const std::string begin = text.substr(0, kMost);
  return begin.substr(0, find_invalid_utf8(begin)) + "...";
}

}  // namespace

bool JsonPlace::has(const char* name) const { return json_.is_object() && json_.contains(name); }

JsonPlace JsonPlace::operator[](const char* name) const {
  static const nlohmann::json kNothing;
  const auto& members = object();
  const auto found = members.find(name);
  return {found == members.end() ? kNothing : found->second, file_,
          place_.empty() ? name : place_ + "." + name};
}

std::vector<JsonPlace> JsonPlace::elements() const {
  if (!json_.is_array()) fail("is no list");
  std::vector<JsonPlace> places;
  places.reserve(json_.size());
  for (const auto& element : json_)
    places.push_back({element, file_, place_ + "[" + std::to_string(places.size()) + "]"});
  return places;
}

const nlohmann::json::object_t& JsonPlace::object() const {
  if (!json_.is_object()) fail("is no object");
  return json_.get_ref<const nlohmann::json::object_t&>();
}

const std::string& JsonPlace::text() const {
  if (!json_.is_string()) fail("is no text");
  return json_.get_ref<const std::string&>();
}

bool JsonPlace::flag() const {
  if (!json_.is_boolean()) fail("is neither true nor false");
  return json_.get<bool>();
}

int64_t JsonPlace::number(int64_t most) const {
  // The parser makes a number unsigned where it can.
  if (!json_.is_number_unsigned() || json_.get<uint64_t>() > static_cast<uint64_t>(most))
    fail("is no whole number from 0 to " + std::to_string(most));
  return json_.get<int64_t>();
}

void JsonPlace::fail(const std::string& what) const {
  throw UserError(file_ + ": " + (place_.empty() ? "" : shortened(place_) + " ") + shortened(what) +
                  "; it is no tokenizer.json that Hugging Face's tokenizers wrote, fetch it again");
}

void JsonPlace::refuse(const std::string& what) const {
  throw UserError(file_ + ": " + (place_.empty() ? "" : shortened(place_) + ": ") +
                  shortened(what) + "; " + kWithoutTokenizer);
}

}  // namespace lococo
