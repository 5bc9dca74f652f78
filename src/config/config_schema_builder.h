// What the description of the config keys is written with.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "config/config_schema.h"

namespace lococo {

constexpr int64_t kMany = int64_t{1} << 31;         // steps, tokens of a text, ...
constexpr int64_t kManyHeld = int64_t{1} << 24;     // slots, tokens of a block: memory for each
constexpr int64_t kMostContext = int64_t{1} << 26;  // tokens of a sequence: a plan lists its blocks
constexpr int64_t kManyTokens = int64_t{1} << 50;   // tokens of a corpus, bytes

class SchemaBuilder {
 public:
  void section(const std::string& name) { prefix_ = name + "."; }

  void add(const std::string& name, FieldValue value, const std::string& doc) {
    fields_.push_back({prefix_ + name, std::move(value), doc});
  }

  /// `names` in the order of the enumeration, whose first value is 0.
  template <typename Enum>
  void choice(const std::string& name, Enum* member, std::vector<std::string> names,
              const std::string& doc) {
    add(name,
        ChoiceField{std::move(names), [member] { return static_cast<size_t>(*member); },
                    [member](size_t index) { *member = static_cast<Enum>(index); }},
        doc);
  }

  void text_choice(const std::string& name, std::string* member, std::vector<std::string> names,
                   const std::string& doc) {
    const auto get = [member, names] {
      const auto found = std::find(names.begin(), names.end(), *member);
      if (found == names.end()) throw std::logic_error("config: no such choice: " + *member);
      return static_cast<size_t>(found - names.begin());
    };
    add(name, ChoiceField{names, get, [member, names](size_t index) { *member = names[index]; }},
        doc);
  }

  std::vector<Field> take() { return std::move(fields_); }

 private:
  std::string prefix_;
  std::vector<Field> fields_;
};

inline IntegerField count(int64_t* value, int64_t least, int64_t most = kMany) {
  return {value, least, most};
}

inline NumberField fraction(double* value) { return {value, 0.0, 1.0}; }

constexpr double kLargeNumber = 1e12;

inline NumberField positive(double* value) { return {value, 0.0, kLargeNumber, true}; }

inline NumberField not_negative(double* value) { return {value, 0.0, kLargeNumber}; }

}  // namespace lococo
