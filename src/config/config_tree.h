// A YAML document as plain data, so that only one file knows the YAML library.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace lococo {

struct YamlNode {
  enum class Kind { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  std::string text;     ///< of a scalar
  bool quoted = false;  ///< a quoted scalar is text, whatever it looks like
  std::string place;    ///< "configs/x.yaml:12" or "override cache.slots=128"; may be empty
  std::vector<YamlNode> items;
  std::vector<std::pair<std::string, YamlNode>> entries;  ///< in order; no key twice

  YamlNode* find(const std::string& key) {
    for (auto& [name, value] : entries) {
      if (name == key) return &value;
    }
    return nullptr;
  }
};

/// Parses one document; a place is `name`:line, or `name` alone when `with_lines` is false. Throws
/// UserError for text that is not YAML, a key that occurs twice, a tag, several documents, and more
/// than 16 levels or 100,000 values, aliases counted as what they stand for.
YamlNode parse_yaml(const std::string& text, const std::string& name, bool with_lines);

}  // namespace lococo
