// A value of a JSON file together with where it stands, for strict reading with readable errors.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace lococo {

/// Every method throws UserError, which names the file and the place, for a value of another kind.
class JsonPlace {
 public:
  /// `json` and `file` must outlive this and what is reached from it.
  JsonPlace(const nlohmann::json& json, const std::string& file) : json_(json), file_(file) {}

  bool is_null() const { return json_.is_null(); }
  bool is_object() const { return json_.is_object(); }
  bool is_string() const { return json_.is_string(); }
  bool is_zero() const { return json_.is_number() && json_.get<double>() == 0; }

  bool has(const char* name) const;
  /// The member of an object; one that is missing is null.
  JsonPlace operator[](const char* name) const;
  /// The elements of a list.
  std::vector<JsonPlace> elements() const;
  const nlohmann::json::object_t& object() const;

  const std::string& text() const;
  bool flag() const;
  /// The same, `otherwise` where there is none or null.
  bool flag_or(bool otherwise) const { return is_null() ? otherwise : flag(); }
  /// A whole number from 0 to `most`.
  int64_t number(int64_t most) const;

  /// The member "type" of an object.
  const std::string& type() const { return (*this)["type"].text(); }

  [[noreturn]] void fail(const std::string& what) const;
  /// For something that is correct and would change ids, and cannot be done here.
  [[noreturn]] void refuse(const std::string& what) const;

 private:
  JsonPlace(const nlohmann::json& json, const std::string& file, std::string place)
      : json_(json), file_(file), place_(std::move(place)) {}

  const nlohmann::json& json_;
  const std::string& file_;
  std::string place_;  ///< model.merges[3]; empty for the whole
};

}  // namespace lococo
