#include "config/config_values.h"

#include <cstdint>
#include <cstdio>

#include "config/config_rope.h"
#include "config/scalar_reader.h"

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
class ValueReader : ScalarReader {
 public:
  ValueReader(const YamlNode& node, const std::string& where) : ScalarReader(where), node_(node) {}

  void operator()(const IntegerField& field) const {
    *field.value = integer<int64_t>(node_, field.least, field.most);
  }

  void operator()(const SeedField& field) const {
    *field.value = integer<uint64_t>(node_, 0, UINT64_MAX);
  }

  void operator()(const OptionalIntegerField& field) const {
    field.value->reset();
    if (!is_null(node_)) *field.value = integer<int64_t>(node_, field.least, field.most);
  }

  void operator()(const OptionalNumberField& field) const {
    field.value->reset();
    if (is_null(node_)) return;
    double value = 0.0;
    (*this)(NumberField{&value, field.least, field.most});
    *field.value = value;
  }

  void operator()(const NumberField& field) const {
    const double value = number(node_);
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
    if (is_null(node_)) return;
    const double value = number(node_);
    if (value < 0.0 || value > 1e6) {
      fail(node_.text +
           " is out of range; use a learning rate from 0 to 1e6 (0 or null: not trained)");
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
    } else if (!is_null(node_)) {
      values.push_back(text(node_));
    }
    *field.value = values;
  }

  void operator()(const SourcesField& field) const {
    std::vector<DataSource> sources;
    if (node_.kind == Kind::kList) {
      for (const YamlNode& item : node_.items) sources.push_back(source(item));
    } else if (!is_null(node_)) {
      sources.push_back(source(node_));
    }
    *field.value = sources;
  }

  void operator()(const RopeField& field) const {
    if (is_null(node_)) return field.set(std::nullopt);
    field.set(read_rope_scaling(node_, where()));
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

  const YamlNode& node_;
};

}  // namespace

void read_value(const YamlNode& node, const std::string& where, const FieldValue& field) {
  std::visit(ValueReader(node, where), field);
}

}  // namespace lococo
