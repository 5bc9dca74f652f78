// Numbers and texts of a YAML document, read strictly.
#pragma once

#include <cstdint>
#include <string>

#include "config/config_tree.h"

namespace lococo {

/// Reads scalars for one key. Every error is a UserError that begins with the key's place.
class ScalarReader {
 public:
  /// `where` must outlive the reader.
  explicit ScalarReader(const std::string& where) : where_(where) {}

  const std::string& where() const { return where_; }

  /// Throws `what` with the place before it.
  [[noreturn]] void fail(const std::string& what) const;

  /// Nothing, null or ~.
  static bool is_null(const YamlNode& node);

  /// Decimal digits, with a sign or without one, from `least` to `most`; of int64_t and uint64_t.
  template <typename Integer>
  Integer integer(const YamlNode& node, Integer least, Integer most) const;

  /// A finite number; `inner` is the name of a value inside the key's, as "weight: ".
  double number(const YamlNode& node, const std::string& inner = "") const;

  std::string text(const YamlNode& node) const;
  /// "" for null.
  std::string text_or_empty(const YamlNode& node) const;

 private:
  const std::string& where_;
};

/// A node for messages: `"12x"`, `a list`, `a map`, `nothing`.
std::string describe(const YamlNode& node);

}  // namespace lococo
