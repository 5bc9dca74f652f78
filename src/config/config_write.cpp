#include "config/config_write.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <iterator>

#include "config/config_schema.h"

namespace lococo {
namespace {

/// Double quotes keep any text as it is.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      char escaped[8];
      std::snprintf(escaped, sizeof(escaped), "\\x%02X", static_cast<unsigned>(c));
      out += escaped;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string yaml_text(const std::string& text) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '/' || c == '.' || c == '-';
  };
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return c < 0x80 ? static_cast<char>(std::tolower(c)) : c; });
  static const char* const kReserved[] = {"null", "true", "false", "yes",  "no",  "on",
                                          "off",  "y",    "n",     ".inf", ".nan"};
  const bool is_reserved =
      std::find(std::begin(kReserved), std::end(kReserved), lower) != std::end(kReserved);
  // A first letter or slash rules out numbers, lists, document marks and the empty text.
  const bool plain_start = !text.empty() && (text[0] == '/' || text[0] == '.' || lower[0] >= 'a') &&
                           text.rfind("..", 0) != 0;
  const bool all_plain = std::all_of(text.begin(), text.end(), is_plain);
  return plain_start && all_plain && !is_reserved ? text : quoted(text);
}

/// The shortest text that reads back to the same number, always with a point: without it other
/// YAML readers take 1e-08 for text.
std::string yaml_number(double value) {
  char buffer[64];
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), value);
  std::string text(buffer, result.ptr);
  const size_t exponent = text.find('e');
  if (text.find('.') == std::string::npos) {
    text.insert(exponent == std::string::npos ? text.size() : exponent, ".0");
  }
  return text;
}

std::string yaml_rope(const RopeScaling& scaling) {
  std::string text = std::string("{type: ") + name_of(scaling.type);
  const auto add = [&](const char* name, double value) {
    text += std::string(", ") + name + ": " + yaml_number(value);
  };
  if (scaling.type != RopeType::kDefault) {
    add("factor", scaling.factor);
    text += ", original_max_position_embeddings: " +
            std::to_string(scaling.original_max_position_embeddings);
  }
  if (scaling.type == RopeType::kLlama3) {
    add("low_freq_factor", scaling.low_freq_factor);
    add("high_freq_factor", scaling.high_freq_factor);
  }
  if (scaling.type == RopeType::kYarn) {
    add("beta_fast", scaling.beta_fast);
    add("beta_slow", scaling.beta_slow);
    add("attention_factor", scaling.attention_factor);
  }
  return text + "}";
}

template <typename Values, typename ToText>
std::string yaml_list(const Values& values, ToText to_text) {
  std::string text = "[";
  for (const auto& value : values) text += (text.size() > 1 ? ", " : "") + to_text(value);
  return text + "]";
}

struct ValueWriter {
  std::string operator()(const IntegerField& field) const { return std::to_string(*field.value); }
  std::string operator()(const SeedField& field) const { return std::to_string(*field.value); }
  std::string operator()(const NumberField& field) const { return yaml_number(*field.value); }
  std::string operator()(const RateField& field) const {
    return field.value->has_value() ? yaml_number(**field.value) : "null";
  }
  std::string operator()(const OptionalNumberField& field) const {
    return field.value->has_value() ? yaml_number(**field.value) : "null";
  }
  std::string operator()(const OptionalIntegerField& field) const {
    return field.value->has_value() ? std::to_string(**field.value) : "null";
  }
  std::string operator()(const BoolField& field) const { return *field.value ? "true" : "false"; }
  std::string operator()(const TextField& field) const { return yaml_text(*field.value); }
  std::string operator()(const ChoiceField& field) const { return field.names[field.get()]; }
  std::string operator()(const IntegersField& field) const {
    return yaml_list(*field.value, [](int64_t value) { return std::to_string(value); });
  }
  std::string operator()(const TextsField& field) const {
    return yaml_list(*field.value, yaml_text);
  }
  std::string operator()(const SourcesField& field) const {
    return yaml_list(*field.value, [](const DataSource& source) {
      return "{path: " + quoted(source.path) + ", weight: " + yaml_number(source.weight) + "}";
    });
  }
  std::string operator()(const RopeField& field) const {
    const std::optional<RopeScaling> scaling = field.get();
    return scaling ? yaml_rope(*scaling) : "null";
  }
  std::string operator()(const ResumeField& field) const {
    switch (field.value->resume) {
      case Resume::kAuto:
        return "auto";
      case Resume::kNever:
        return "never";
      case Resume::kPath:
        break;
    }
    return yaml_text(field.value->resume_path);
  }
};

/// Breaks a comment into lines of at most `width` characters.
std::string comment(const std::string& text, const std::string& indent, size_t width) {
  std::string out;
  std::string line;
  const auto flush = [&] {
    out += indent + "# " + line + "\n";
    line.clear();
  };
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    if (!line.empty() && indent.size() + 2 + line.size() + 1 + word.size() > width) flush();
    line += (line.empty() ? "" : " ") + word;
    begin = end + 1;
  }
  flush();
  return out;
}

std::string range_of(const FieldValue& value) {
  if (const auto* choice = std::get_if<ChoiceField>(&value)) {
    std::string text;
    for (const std::string& name : choice->names) text += (text.empty() ? "" : "|") + name;
    return " (" + text + ")";
  }
  return "";
}

/// Sections as nested maps; with comments it is the reference.
std::string write_config(const Config& given, bool with_comments) {
  constexpr size_t kWidth = 100;
  Config config = given;
  std::string out;
  std::string open;  // the section that the last line belongs to
  for (const Field& field : config_fields(config)) {
    const size_t dot = field.key.rfind('.');
    const std::string section = field.key.substr(0, dot);
    const size_t depth = static_cast<size_t>(std::count(section.begin(), section.end(), '.'));
    const std::string indent(2 * depth, ' ');
    if (section != open) {
      if (with_comments) {
        out += out.empty() ? "" : "\n";
        out += comment(section_doc(section), indent, kWidth);
      }
      out += indent + section.substr(section.rfind('.') + 1) + ":\n";
      open = section;
    }
    const std::string line =
        indent + "  " + field.key.substr(dot + 1) + ": " + std::visit(ValueWriter{}, field.value);
    const std::string doc = field.doc + range_of(field.value);
    if (!with_comments) {
      out += line + "\n";
    } else if (line.size() + 4 + doc.size() <= kWidth) {
      out += line + "  # " + doc + "\n";
    } else {
      out += comment(doc, indent + "  ", kWidth) + line + "\n";
    }
  }
  return out;
}

}  // namespace

std::string config_to_yaml(const Config& config) { return write_config(config, false); }

std::vector<std::pair<std::string, std::string>> config_value_texts(const Config& given) {
  Config config = given;
  std::vector<std::pair<std::string, std::string>> texts;
  for (const Field& field : config_fields(config)) {
    texts.emplace_back(field.key, std::visit(ValueWriter{}, field.value));
  }
  return texts;
}

std::string reference_config() {
  return "# Every key with its default and its meaning; a config of your own names only what it "
         "changes.\n# On the command line: lococo-train config.yaml cache.slots=128\n"
         "# Keys at top level that begin with x- are yours and are ignored.\n\n" +
         write_config(Config{}, true);
}

std::vector<std::string> config_keys() {
  Config config;
  std::vector<std::string> keys;
  for (const Field& field : config_fields(config)) keys.push_back(field.key);
  return keys;
}

}  // namespace lococo
