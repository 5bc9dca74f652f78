#include "config/config_values.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <system_error>

#include "core/error.h"

namespace lococo {
namespace {

using Kind = YamlNode::Kind;

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " or " : ", ";
    text += names[i];
  }
  return text;
}

std::string number_text(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), "%.10g", value);
  return buffer;
}

/// Reads the value of one key; every error begins with its place.
class ValueReader {
 public:
  ValueReader(const YamlNode& node, const std::string& where) : node_(node), where_(where) {}

  void operator()(const IntegerField& field) const {
    *field.value = integer<int64_t>(node_, field.least, field.most);
  }

  void operator()(const SeedField& field) const {
    *field.value = integer<uint64_t>(node_, 0, UINT64_MAX);
  }

  void operator()(const OptionalIntegerField& field) const {
    field.value->reset();
    if (!is_null()) *field.value = integer<int64_t>(node_, field.least, field.most);
  }

  void operator()(const OptionalNumberField& field) const {
    field.value->reset();
    if (is_null()) return;
    double value = 0.0;
    (*this)(NumberField{&value, field.least, field.most});
    *field.value = value;
  }

  void operator()(const NumberField& field) const {
    const double value = number(node_, "");
    const bool too_small = field.above_least ? value <= field.least : value < field.least;
    if (too_small || value > field.most) {
      fail(node_.text + " is out of range; use a number " +
           (field.above_least ? "above " : "from ") + number_text(field.least) +
           (field.above_least ? " up to " : " to ") + number_text(field.most));
    }
    *field.value = value;
  }

  void operator()(const RateField& field) const {
    field.value->reset();
    if (is_null()) return;
    const double value = number(node_, "");
    if (value < 0.0 || value > 1e6) {
      fail(node_.text +
           " is out of range; a learning rate is not negative (0 or null: not trained)");
    }
    *field.value = value;
  }

  void operator()(const BoolField& field) const {
    const std::string& text = node_.text;
    const bool plain = node_.kind == Kind::kScalar && !node_.quoted;
    const bool is_true = plain && (text == "true" || text == "True" || text == "TRUE");
    const bool is_false = plain && (text == "false" || text == "False" || text == "FALSE");
    if (!is_true && !is_false) fail("expected true or false, got " + describe(node_));
    *field.value = is_true;
  }

  void operator()(const TextField& field) const { *field.value = text_or_empty(node_); }

  void operator()(const ChoiceField& field) const {
    for (size_t i = 0; i < field.names.size(); ++i) {
      if (node_.kind == Kind::kScalar && node_.text == field.names[i]) return field.set(i);
    }
    fail(describe(node_) + " is not a choice; use " + joined(field.names));
  }

  void operator()(const IntegersField& field) const {
    std::vector<int64_t> values;
    if (node_.kind == Kind::kList) {
      for (const YamlNode& item : node_.items) {
        values.push_back(integer<int64_t>(item, field.least, field.most));
      }
    } else {
      values.push_back(integer<int64_t>(node_, field.least, field.most));
    }
    *field.value = values;
  }

  void operator()(const TextsField& field) const {
    std::vector<std::string> values;
    if (node_.kind == Kind::kList) {
      for (const YamlNode& item : node_.items) values.push_back(text(item));
    } else if (!is_null()) {
      values.push_back(text(node_));
    }
    *field.value = values;
  }

  void operator()(const SourcesField& field) const {
    std::vector<DataSource> sources;
    if (node_.kind == Kind::kList) {
      for (const YamlNode& item : node_.items) sources.push_back(source(item));
    } else if (!is_null()) {
      sources.push_back(source(node_));
    }
    *field.value = sources;
  }

  void operator()(const RopeField& field) const {
    if (is_null()) return field.set(std::nullopt);
    field.set(rope());
  }

  void operator()(const ResumeField& field) const {
    const std::string value = text(node_);
    if (value.empty()) fail("is empty; use auto, never or a checkpoint folder");
    field.value->resume = value == "auto"    ? Resume::kAuto
                          : value == "never" ? Resume::kNever
                                             : Resume::kPath;
    field.value->resume_path = field.value->resume == Resume::kPath ? value : "";
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw UserError(where_ + ": " + what); }

  bool is_null() const { return is_null(node_); }

  static bool is_null(const YamlNode& node) {
    if (node.kind == Kind::kNull) return true;
    const std::string& text = node.text;
    return node.kind == Kind::kScalar && !node.quoted &&
           (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL");
  }

  template <typename Integer>
  Integer integer(const YamlNode& node, Integer least, Integer most) const {
    const bool plain = node.kind == Kind::kScalar && !node.quoted;
    const std::string& text = node.text;
    const size_t digits = !text.empty() && (text[0] == '+' || text[0] == '-') ? 1 : 0;
    if (!plain || text.size() == digits ||
        text.find_first_not_of("0123456789", digits) != std::string::npos) {
      fail("expected an integer, got " + describe(node));
    }
    Integer value = 0;
    const char* begin = text.data() + (text[0] == '+' ? 1 : 0);
    const auto result = std::from_chars(begin, text.data() + text.size(), value);
    if (result.ec != std::errc() || value < least || value > most) {
      fail(text + " is out of range; use an integer from " + std::to_string(least) + " to " +
           std::to_string(most));
    }
    return value;
  }

  double number(const YamlNode& node, const std::string& inner) const {
    const bool plain = node.kind == Kind::kScalar && !node.quoted;
    const std::string& text = node.text;
    const bool signed_twice = text.size() > 1 && text[0] == '+' && text[1] == '-';
    const char* begin = text.data() + (!text.empty() && text[0] == '+' ? 1 : 0);
    const char* end = text.data() + text.size();
    double value = 0.0;
    const auto result = std::from_chars(begin, end, value);
    const bool whole = plain && !signed_twice && begin != end && result.ptr == end;
    if (!whole || result.ec != std::errc() || !std::isfinite(value)) {
      fail(inner + "expected a number, got " + describe(node));
    }
    return value;
  }

  std::string text(const YamlNode& node) const {
    if (node.kind != Kind::kScalar || is_null(node)) {
      fail("expected text, got " + describe(node) + "; put text with special characters in quotes");
    }
    if (node.text.find('\0') != std::string::npos) fail("the text holds a zero byte; remove it");
    return node.text;
  }

  std::string text_or_empty(const YamlNode& node) const { return is_null(node) ? "" : text(node); }

  DataSource source(const YamlNode& node) const {
    DataSource result;
    if (node.kind != Kind::kMap) {
      result.path = text(node);
    } else {
      for (const auto& [name, value] : node.entries) {
        if (name == "path") {
          result.path = text(value);
        } else if (name == "weight") {
          result.weight = number(value, "weight: ");
        } else {
          fail(name + ": unknown key; a source has path and weight");
        }
      }
    }
    if (result.path.empty()) fail("a source has no path");
    if (!(result.weight > 0.0)) fail("weight: must be positive; remove the source to leave it out");
    return result;
  }

  /// A member of RopeScaling besides the type, and the types that know it.
  struct RopeMember {
    const char* name;
    double RopeScaling::*value;
    bool in_yarn;
    bool in_llama3;
    bool in_simple;
  };

  RopeScaling rope() const {
    if (node_.kind != Kind::kMap) {
      fail("expected null or a map {type, factor, ...}, got " + describe(node_));
    }
    RopeScaling scaling;
    bool has_type = false;
    for (const auto& [name, value] : node_.entries) {
      if (name != "type" && name != "rope_type") continue;
      scaling.type = rope_type(value);
      has_type = true;
    }
    if (!has_type) fail("type is missing; use default, linear, dynamic, yarn or llama3");
    bool has_factor = false;
    for (const auto& [name, value] : node_.entries) {
      has_factor = has_factor || name == "factor";
      if (name != "type" && name != "rope_type") read_rope_member(name, value, &scaling);
    }
    if (scaling.type != RopeType::kDefault && !has_factor) fail("factor is missing");
    return scaling;
  }

  RopeType rope_type(const YamlNode& node) const {
    for (const RopeType type : {RopeType::kDefault, RopeType::kLinear, RopeType::kDynamic,
                                RopeType::kYarn, RopeType::kLlama3}) {
      if (node.kind == Kind::kScalar && node.text == name_of(type)) return type;
    }
    fail("type: " + describe(node) +
         " is not a choice; use default, linear, dynamic, yarn or llama3");
  }

  void read_rope_member(const std::string& name, const YamlNode& node, RopeScaling* scaling) const {
    const RopeType type = scaling->type;
    if (name == "original_max_position_embeddings" && type != RopeType::kDefault) {
      const int64_t most = int64_t{1} << 31;
      scaling->original_max_position_embeddings = integer<int64_t>(node, 0, most);
      return;
    }
    static constexpr RopeMember kMembers[] = {
        {"factor", &RopeScaling::factor, true, true, true},
        {"low_freq_factor", &RopeScaling::low_freq_factor, false, true, false},
        {"high_freq_factor", &RopeScaling::high_freq_factor, false, true, false},
        {"beta_fast", &RopeScaling::beta_fast, true, false, false},
        {"beta_slow", &RopeScaling::beta_slow, true, false, false},
        {"attention_factor", &RopeScaling::attention_factor, true, false, false},
    };
    for (const RopeMember& member : kMembers) {
      const bool known = type == RopeType::kYarn ? member.in_yarn
                         : type == RopeType::kLlama3
                             ? member.in_llama3
                             : member.in_simple && type != RopeType::kDefault;
      if (name == member.name && known) {
        scaling->*member.value = number(node, name + ": ");
        return;
      }
    }
    fail(name + ": unknown key for type " + name_of(type));
  }

  const YamlNode& node_;
  const std::string& where_;
};

}  // namespace

void read_value(const YamlNode& node, const std::string& where, const FieldValue& field) {
  std::visit(ValueReader(node, where), field);
}

std::string describe(const YamlNode& node) {
  constexpr size_t kLongest = 60;
  switch (node.kind) {
    case Kind::kNull:
      return "nothing";
    case Kind::kList:
      return "a list";
    case Kind::kMap:
      return "a map";
    case Kind::kScalar:
      break;
  }
  const bool whole = node.text.size() <= kLongest;
  return "\"" + node.text.substr(0, kLongest) + (whole ? "\"" : "...\"");
}

}  // namespace lococo
