#include "config/config_yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

#include "config/config_check.h"
#include "config/config_read.h"
#include "config/config_schema.h"
#include "config/config_tree.h"
#include "config/config_write.h"
#include "core/error.h"
#include "core/files.h"

namespace lococo {
namespace {

/// Builds the tree from the parser's events. Aliases are copied; the limits stop documents that
/// grow without end that way. Tags are refused: what a value is, its key decides.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string name, bool with_lines) : name_(std::move(name)), with_lines_(with_lines) {
    root_.place = name_;
  }

  YamlNode take() { return std::move(root_); }

  std::string place_of(const YAML::Mark& mark) const {
    if (!with_lines_ || mark.is_null()) return name_;
    return name_ + ":" + std::to_string(mark.line + 1);
  }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add(node_at(mark, YamlNode::Kind::kNull), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw UserError(place_of(mark) + ": an alias holds itself");
    YamlNode node = found->second;
    node.place = place_of(mark);
    add(std::move(node), YAML::NullAnchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_tag(mark, tag);
    YamlNode node = node_at(mark, YamlNode::Kind::kScalar);
    node.text = value;
    node.quoted = tag == "!";
    add(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    refuse_tag(mark, tag);
    open(node_at(mark, YamlNode::Kind::kList), anchor);
  }
  void OnSequenceEnd() override { close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    refuse_tag(mark, tag);
    open(node_at(mark, YamlNode::Kind::kMap), anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  /// A list or map that is not complete.
  struct Open {
    YamlNode node;
    YAML::anchor_t anchor;
    std::optional<YamlNode> key;  ///< of a map, whose value is still to come
  };

  /// The library gives "?" to what has no tag and "!" to quoted text without one.
  void refuse_tag(const YAML::Mark& mark, const std::string& tag) const {
    if (tag.empty() || tag == "?" || tag == "!") return;
    throw UserError(place_of(mark) + ": the tag " + tag.substr(0, 60) +
                    " is not supported; remove it");
  }

  YamlNode node_at(const YAML::Mark& mark, YamlNode::Kind kind) const {
    YamlNode node;
    node.kind = kind;
    node.place = place_of(mark);
    return node;
  }

  void open(YamlNode node, YAML::anchor_t anchor) {
    constexpr size_t kDeepest = 16;
    if (open_.size() >= kDeepest) throw UserError(node.place + ": the YAML is nested too deeply");
    open_.push_back({std::move(node), anchor, std::nullopt});
  }

  void close() {
    Open complete = std::move(open_.back());
    open_.pop_back();
    add(std::move(complete.node), complete.anchor);
  }

  /// Puts a complete node where it belongs.
  void add(YamlNode node, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) anchors_[anchor] = node;
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    count(node);
    Open& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::kList) {
      parent.node.items.push_back(std::move(node));
    } else if (!parent.key) {
      check_key(parent.node, node);
      parent.key = std::move(node);
    } else {
      // The key's line is where a reader looks for the entry.
      node.place = parent.key->place;
      parent.node.entries.emplace_back(parent.key->text, std::move(node));
      parent.key.reset();
    }
  }

  static void check_key(YamlNode& map, const YamlNode& key) {
    if (key.kind != YamlNode::Kind::kScalar) throw UserError(key.place + ": a key must be a word");
    if (map.find(key.text) != nullptr) {
      throw UserError(key.place + ": " + key.text + ": the key occurs twice; remove one");
    }
  }

  /// Counts what is copied too: lists and maps again with each list or map around them.
  void count(const YamlNode& node) {
    constexpr int kMostNodes = 100'000;
    constexpr size_t kMostText = size_t{1} << 28;
    text_bytes_ += node.text.size();
    if (++nodes_ > kMostNodes || text_bytes_ > kMostText) {
      throw UserError(node.place + ": the YAML has too many values");
    }
    for (const YamlNode& item : node.items) count(item);
    for (const auto& [key, value] : node.entries) count(value);
  }

  std::string name_;
  bool with_lines_;
  YamlNode root_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, YamlNode> anchors_;
  int nodes_ = 0;
  size_t text_bytes_ = 0;
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

bool is_text(const std::string& key) {
  Config config;
  const std::vector<Field> fields = config_fields(config);
  return std::any_of(fields.begin(), fields.end(), [&](const Field& field) {
    return field.key == key && std::holds_alternative<TextField>(field.value);
  });
}

/// A text is what stands after '=', as it is: a prompt or a path may look like YAML.
YamlNode override_value(const std::string& key, const std::string& text, const std::string& place) {
  if (!is_text(key)) return parse_yaml(text, place, false);
  YamlNode node;
  node.kind = YamlNode::Kind::kScalar;
  node.text = text;
  node.quoted = true;
  node.place = place;
  return node;
}

void apply_override(YamlNode* tree, const std::string& text, const std::vector<std::string>& keys) {
  constexpr size_t kLongest = 100;
  const std::string place =
      "override " + (text.size() <= kLongest ? text : text.substr(0, kLongest) + "...");
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw UserError(place + ": is not of the form key=value, for example cache.slots=128");
  }
  const std::string key = text.substr(0, equals);
  const bool is_known = std::any_of(keys.begin(), keys.end(), [&](const std::string& known) {
    return known == key || known.rfind(key + ".", 0) == 0;
  });
  if (!is_known) throw UserError(place + ": " + key + ": " + unknown_key_message(key));
  const YamlNode value = override_value(key, text.substr(equals + 1), place);
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
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    if (parser.HandleNextDocument(builder)) {
      // The library takes text that it cannot place, such as a lone comma, for another document,
      // and would find one after another there without end.
      TreeBuilder rest(name, with_lines);
      if (parser.HandleNextDocument(rest)) {
        throw UserError(name + ": holds more than one YAML document, or text after the last key");
      }
    }
  } catch (const YAML::Exception& error) {
    throw UserError(builder.place_of(error.mark) + ": not valid YAML: " + error.msg);
  }
  return builder.take();
}

namespace {

/// Types, ranges and names are checked, combinations are not.
Config read_values(const std::string& yaml, const std::string& name,
                   const std::vector<std::string>& overrides, ConfigOrigins* origins) {
  YamlNode tree = parse_yaml(yaml, name, true);
  if (tree.kind != YamlNode::Kind::kMap && tree.kind != YamlNode::Kind::kNull) {
    throw UserError(name + ": is not a map of sections; configs/reference.yaml shows the form");
  }
  const std::vector<std::string> keys = config_keys();
  for (const std::string& override_text : overrides) apply_override(&tree, override_text, keys);
  Config config;
  origins->name = name;
  read_config(tree, &config, origins);
  return config;
}

}  // namespace

Config parse_config(const std::string& yaml, const std::string& name,
                    const std::vector<std::string>& overrides, const ConfigCompletion& complete) {
  ConfigOrigins origins;
  Config config = read_values(yaml, name, overrides, &origins);
  if (complete) complete(&config, &origins);
  check_config(config, origins);
  return config;
}

Config parse_old_config(const std::string& yaml, const std::string& name) {
  ConfigOrigins origins;
  return read_values(yaml, name, {}, &origins);
}

Config load_config(const std::string& path, const std::vector<std::string>& overrides,
                   const ConfigCompletion& complete) {
  constexpr uint64_t kLargestConfig = uint64_t{64} << 20;
  return parse_config(path.empty() ? "" : read_text_file(path, kLargestConfig), path, overrides,
                      complete);
}

}  // namespace lococo
