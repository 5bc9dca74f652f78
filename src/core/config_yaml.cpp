#include "core/config_yaml.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "core/config_read.h"
#include "core/config_tree.h"
#include "core/error.h"
#include "core/files.h"

namespace lococo {
namespace {

/// Copies the library's nodes. Aliases are expanded; the limits stop documents that grow without
/// end that way.
class TreeBuilder {
 public:
  TreeBuilder(std::string name, bool with_lines)
      : name_(std::move(name)), with_lines_(with_lines) {}

  YamlNode build(const YAML::Node& node, int depth = 0) {
    constexpr int kDeepest = 16;
    constexpr int kMostNodes = 100'000;
    YamlNode result;
    result.place = place_of(node.Mark());
    if (depth > kDeepest) throw UserError(result.place + ": the YAML is nested too deeply");
    if (++nodes_ > kMostNodes) throw UserError(result.place + ": the YAML has too many values");
    if (node.IsScalar()) {
      result.text = node.Scalar();
      result.quoted = node.Tag() == "!";
      result.kind = YamlNode::Kind::kScalar;
    } else if (node.IsSequence()) {
      result.kind = YamlNode::Kind::kList;
      for (const YAML::Node& item : node) result.items.push_back(build(item, depth + 1));
    } else if (node.IsMap()) {
      result.kind = YamlNode::Kind::kMap;
      for (const auto& entry : node) add_entry(entry.first, entry.second, depth, &result);
    }
    return result;
  }

  std::string place_of(const YAML::Mark& mark) const {
    if (!with_lines_ || mark.is_null()) return name_;
    return name_ + ":" + std::to_string(mark.line + 1);
  }

 private:
  void add_entry(const YAML::Node& key, const YAML::Node& value, int depth, YamlNode* map) {
    const std::string place = place_of(key.Mark());
    if (!key.IsScalar()) throw UserError(place + ": a key must be a word");
    if (map->find(key.Scalar()) != nullptr) {
      throw UserError(place + ": " + key.Scalar() + ": the key occurs twice; remove one");
    }
    YamlNode built = build(value, depth + 1);
    // The key's line is where a reader looks for the entry.
    built.place = place;
    map->entries.emplace_back(key.Scalar(), std::move(built));
  }

  std::string name_;
  bool with_lines_;
  int nodes_ = 0;
};

/// Puts `value` at the dotted path; maps of sections are merged, anything else is replaced.
void set_at(YamlNode* tree, const std::string& key, const YamlNode& value,
            const std::vector<std::string>& fields) {
  const bool is_field = std::find(fields.begin(), fields.end(), key) != fields.end();
  if (!is_field && value.kind == YamlNode::Kind::kMap) {
    for (const auto& [name, inner] : value.entries) set_at(tree, key + "." + name, inner, fields);
    return;
  }
  YamlNode* node = tree;
  for (size_t begin = 0; begin <= key.size();) {
    const size_t end = std::min(key.find('.', begin), key.size());
    const std::string part = key.substr(begin, end - begin);
    if (node->kind != YamlNode::Kind::kMap) {
      const std::string place = node->place;
      *node = YamlNode{};
      node->kind = YamlNode::Kind::kMap;
      node->place = place;
    }
    if (node->find(part) == nullptr) {
      node->entries.emplace_back(part, YamlNode{});
      node->entries.back().second.place = value.place;
    }
    node = node->find(part);
    begin = end + 1;
  }
  *node = value;
}

void apply_override(YamlNode* tree, const std::string& text, const std::vector<std::string>& keys) {
  const std::string place = "override " + text;
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw UserError(place + ": is not of the form key=value, for example cache.slots=128");
  }
  const std::string key = text.substr(0, equals);
  const bool is_known = std::any_of(keys.begin(), keys.end(), [&](const std::string& known) {
    return known == key || known.rfind(key + ".", 0) == 0;
  });
  if (!is_known) throw UserError(place + ": " + key + ": " + unknown_key_message(key));
  const YamlNode value = parse_yaml(text.substr(equals + 1), place, false);
  const bool is_section = std::find(keys.begin(), keys.end(), key) == keys.end();
  if (is_section && value.kind != YamlNode::Kind::kMap) {
    throw UserError(place + ": " + key + ": is a section; name one of its keys");
  }
  set_at(tree, key, value, keys);
}

}  // namespace

YamlNode parse_yaml(const std::string& text, const std::string& name, bool with_lines) {
  TreeBuilder builder(name, with_lines);
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(text);
    if (documents.size() > 1) throw UserError(name + ": holds more than one YAML document");
    if (!documents.empty()) return builder.build(documents[0]);
  } catch (const YAML::Exception& error) {
    throw UserError(builder.place_of(error.mark) + ": not valid YAML: " + error.msg);
  }
  YamlNode empty;
  empty.place = name;
  return empty;
}

Config parse_config(const std::string& yaml, const std::string& name,
                    const std::vector<std::string>& overrides) {
  YamlNode tree = parse_yaml(yaml, name, true);
  if (tree.kind != YamlNode::Kind::kMap && tree.kind != YamlNode::Kind::kNull) {
    throw UserError(name + ": is not a map of sections; configs/reference.yaml shows the form");
  }
  const std::vector<std::string> keys = config_keys();
  for (const std::string& override_text : overrides) apply_override(&tree, override_text, keys);
  Config config;
  ConfigOrigins origins;
  origins.name = name;
  read_config(tree, &config, &origins);
  check_config(config, origins);
  return config;
}

Config load_config(const std::string& path, const std::vector<std::string>& overrides) {
  return parse_config(path.empty() ? "" : read_text_file(path), path, overrides);
}

}  // namespace lococo
