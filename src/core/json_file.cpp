#include "core/json_file.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/files.h"
#include "core/lfs_pointer.h"

namespace lococo {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kLargestFile = 100'000'000;
constexpr size_t kDeepest = 100;
/// What is written for people, a value over many lines, looks cut off to who reads line by line.
constexpr const char* kOneLine =
    ": it does not end in its line; of JSONL each line holds one record";

/// Builds the value from the parser's events. The library's own builder knows neither a limit of
/// depth nor a key that comes twice, and with a callback it takes quadratic time.
class Builder : public nlohmann::json_sax<Json> {
 public:
  explicit Builder(const std::string& name,
                   size_t length_if_line = std::numeric_limits<size_t>::max())
      : name_(name), length_if_line_(length_if_line) {}

  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t& /*text*/) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& value) override { return add(Json::binary(std::move(value))); }

  bool start_object(size_t /*size*/) override { return open(Json::object()); }
  bool start_array(size_t /*size*/) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    auto& object = open_.back()->get_ref<Json::object_t&>();
    const auto [place, is_new] = object.emplace(std::move(name), nullptr);
    if (!is_new)
      throw UserError(name_ + ": the name " + quoted_name(place->first) + " occurs twice");
    value_ = &place->second;
    return true;
  }

  bool parse_error(size_t position, const std::string& /*token*/,
                   const Json::exception& error) override {
    // The library's own text quotes what it has read, which may be megabytes.
    constexpr int kNumberOutOfRange = 406;
    const char* what =
        error.id == kNumberOutOfRange ? "holds a number out of range" : "is not JSON";
    throw UserError(name_ + ": " + what + " (at byte " + std::to_string(position) + ")" +
                    (position > length_if_line_ ? kOneLine : ""));
  }

 private:
  /// Puts a value where it belongs and returns its place, which stays as long as it is open: its
  /// parent takes no other child until then.
  Json* place(Json&& value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_object()) {
      *value_ = std::move(value);
      return value_;
    }
    auto& list = open_.back()->get_ref<Json::array_t&>();
    list.push_back(std::move(value));
    return &list.back();
  }

  bool add(Json&& value) {
    place(std::move(value));
    return true;
  }

  bool open(Json&& value) {
    if (open_.size() >= kDeepest) {
      throw UserError(name_ + ": is nested more than " + std::to_string(kDeepest) + " levels deep");
    }
    open_.push_back(place(std::move(value)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& name_;
  size_t length_if_line_;
  Json root_;
  std::vector<Json*> open_;  ///< objects and lists that are not complete, outermost first
  Json* value_ = nullptr;    ///< in the innermost object: of the last key
};

/// The parser takes a NUL byte for the end of the text, and would drop what stands behind it.
void refuse_nul_bytes(std::string_view text, const std::string& name) {
  const size_t at = text.find('\0');
  if (at == std::string_view::npos) return;
  throw UserError(name + ": holds a NUL byte (at byte " + std::to_string(at + 1) +
                  "), which no JSON does; the file is damaged or not text");
}

}  // namespace

std::string quoted_name(const std::string& name) {
  constexpr size_t kLongest = 120;
  return "\"" + name.substr(0, kLongest) + (name.size() > kLongest ? "...\"" : "\"");
}

Json parse_json(std::string_view text, const std::string& name) {
  refuse_lfs_pointer(text, name);
  refuse_nul_bytes(text, name);
  Builder builder(name);
  Json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

Json parse_json_line(std::string_view line, const std::string& place) {
  refuse_nul_bytes(line, place);
  Builder builder(place, line.size());
  Json::sax_parse(line.begin(), line.end(), &builder);
  return builder.take();
}

Json read_json_file(const std::string& path) {
  return parse_json(read_text_file(path, kLargestFile), path);
}

Json read_json_object(const std::string& path) {
  Json value = read_json_file(path);
  if (!value.is_object()) throw UserError(path + ": is not a JSON object");
  return value;
}

}  // namespace lococo
