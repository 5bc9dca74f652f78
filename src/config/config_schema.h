// The one description of every config key: its name, member, range, choices and meaning. Reading,
// writing, the list of keys and the reference config are made from it. To add a key: a member in
// config.h and one line in config_schema_model.cpp or config_schema_run.cpp, then renew
// configs/reference.yaml (TOOL --reference).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "config/config.h"

namespace lococo {

struct IntegerField {
  int64_t* value;
  int64_t least;
  int64_t most;
};

struct SeedField {
  uint64_t* value;
};

struct NumberField {
  double* value;
  double least;
  double most;
  bool above_least = false;  ///< `least` itself is refused
};

/// A learning rate; absent when the group is not trained.
struct RateField {
  std::optional<double>* value;
};

/// A number, or null where it is absent.
struct OptionalNumberField {
  std::optional<double>* value;
  double least;
  double most;
};

struct OptionalIntegerField {
  std::optional<int64_t>* value;
  int64_t least;
  int64_t most;
};

struct BoolField {
  bool* value;
};

struct TextField {
  std::string* value;
};

/// An enumeration, or a text of which only some are allowed.
struct ChoiceField {
  std::vector<std::string> names;
  std::function<size_t()> get;
  std::function<void(size_t)> set;
};

struct IntegersField {
  std::vector<int64_t>* value;
  int64_t least;
  int64_t most;
};

struct TextsField {
  std::vector<std::string>* value;
};

struct SourcesField {
  std::vector<DataSource>* value;
};

/// RoPE scaling as one value; null means absent, or `default` where the member is not optional.
struct RopeField {
  std::function<std::optional<RopeScaling>()> get;
  std::function<void(const std::optional<RopeScaling>&)> set;
};

/// auto, never or a path.
struct ResumeField {
  TrainConfig* value;
};

using FieldValue =
    std::variant<IntegerField, SeedField, NumberField, RateField, OptionalNumberField,
                 OptionalIntegerField, BoolField, TextField, ChoiceField, IntegersField, TextsField,
                 SourcesField, RopeField, ResumeField>;

struct Field {
  std::string key;   ///< dotted, e.g. "cache.slots"
  FieldValue value;  ///< points into the Config given to config_fields
  std::string doc;   ///< meaning and unit, one line
};

/// Every field in the order of the reference config; valid as long as `config` stays in place.
std::vector<Field> config_fields(Config& config);

/// One line about a section ("cache"), for the reference config.
std::string section_doc(const std::string& section);

}  // namespace lococo
