// JSONL files of records, whose faults are told with the line.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace lococo {

/// One record of a file; what it lacks is a UserError that names file and line.
class Record {
 public:
  Record(const nlohmann::json& object, const std::string& place) : object_(object), place_(place) {}

  /// The text under `key`; throws for none and for one of blanks alone.
  std::string text(const char* key) const;
  /// "" where the key is missing.
  std::string optional_text(const char* key) const;
  /// A list of at least `fewest` such texts, none of them twice.
  std::vector<std::string> texts(const char* key, size_t fewest) const;
  /// The index of one of `options`: a number under `key`, or the option itself.
  int64_t index(const char* key, const std::vector<std::string>& options) const;
  /// File and line, for messages.
  const std::string& place() const { return place_; }

 private:
  const nlohmann::json& at(const char* key) const;
  [[noreturn]] void fail(const std::string& what) const;
  const nlohmann::json& object_;
  std::string place_;
};

/// Calls `callback` for each record in order; blank lines are passed over. Throws UserError as
/// for_each_json_line (data/json_lines.h) does. `key` is the option that
/// names the file: an empty `path` is refused with it.
void for_each_record(const std::string& path, const std::string& key,
                     const std::function<void(const Record&)>& callback);

}  // namespace lococo
