#include "config/config_read.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "config/config_schema.h"
#include "config/config_values.h"
#include "config/config_write.h"
#include "config/scalar_reader.h"
#include "core/edit_distance.h"
#include "core/error.h"

namespace lococo {
namespace {

using Kind = YamlNode::Kind;

std::string with_place(const std::string& place, const std::string& rest) {
  return place.empty() ? rest : place + ": " + rest;
}

std::string last_part(const std::string& key) { return key.substr(key.rfind('.') + 1); }

/// All keys and all sections, nested ones included.
std::vector<std::string> known_names() {
  std::vector<std::string> names = config_keys();
  std::set<std::string> sections;
  for (const std::string& key : names) {
    for (size_t dot = key.find('.'); dot != std::string::npos; dot = key.find('.', dot + 1)) {
      sections.insert(key.substr(0, dot));
    }
  }
  names.insert(names.end(), sections.begin(), sections.end());
  return names;
}

/// Walks over the tree and hands each value to its field.
class Reader {
 public:
  Reader(Config* config, ConfigOrigins* origins) : given_(&config->given), origins_(origins) {
    for (Field& field : config_fields(*config)) {
      const std::string key = field.key;
      fields_.emplace(key, std::move(field));
    }
  }

  void read_map(const YamlNode& map, const std::string& prefix) {
    for (const auto& [name, value] : map.entries) {
      const bool is_own = prefix.empty() && name.rfind("x-", 0) == 0;
      if (!is_own) read_entry(prefix.empty() ? name : prefix + "." + name, value);
    }
  }

 private:
  void read_entry(const std::string& key, const YamlNode& value) {
    const std::string where = with_place(value.place, key);
    if (const auto field = fields_.find(key); field != fields_.end()) {
      origins_->places[key] = value.place;
      given_->insert(key);
      read_value(value, where, field->second.value);
      return;
    }
    const auto next = fields_.lower_bound(key + ".");
    const bool is_section = next != fields_.end() && next->first.rfind(key + ".", 0) == 0;
    if (!is_section) throw UserError(where + ": " + unknown_key_message(key));
    if (value.kind == Kind::kMap) {
      read_map(value, key);
    } else if (value.kind != Kind::kNull) {
      throw UserError(where + ": expected a map of keys, got " + describe(value));
    }
  }

  std::set<std::string>* given_;
  ConfigOrigins* origins_;
  std::map<std::string, Field> fields_;
};

}  // namespace

std::string ConfigOrigins::prefix(const std::string& key) const {
  const auto found = places.find(key);
  return with_place(found == places.end() ? name : found->second, key);
}

std::string unknown_key_message(const std::string& key) {
  if (last_part(key) == "<<") return "merge keys are not read; write the keys out";
  size_t least = std::string::npos;
  std::string nearest;
  for (const std::string& name : known_names()) {
    size_t distance = edit_distance(key, name);
    // A right word in the wrong section is nearer than any misspelling of more than one letter.
    if (last_part(key) == last_part(name)) distance = std::min(distance, size_t{1});
    if (distance < least) {
      least = distance;
      nearest = name;
    }
  }
  const size_t too_far = std::max<size_t>(1, key.size() / 3);
  if (least > too_far) return "unknown key; configs/reference.yaml lists every key";
  return "unknown key, did you mean " + nearest + "?";
}

void read_config(const YamlNode& tree, Config* config, ConfigOrigins* origins) {
  Reader(config, origins).read_map(tree, "");
}

}  // namespace lococo
