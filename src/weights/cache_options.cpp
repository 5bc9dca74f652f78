#include "weights/cache_options.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "config/config_read.h"
#include "config/config_schema.h"
#include "config/config_tree.h"
#include "core/error.h"
#include "core/json_file.h"

namespace lococo {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kOfficialBuffer = 16;  // hard-coded in the official code

/// Our option and the official argument that means the same.
struct OfficialName {
  const char* ours;
  const char* official;
};
constexpr std::array<OfficialName, 8> kOfficialNames = {{{"slots", "mem_size"},
                                                         {"block", "block_size"},
                                                         {"keep_fraction", "hh_keep_rate"},
                                                         {"kernel_size", "kernel_size"},
                                                         {"conv_layers", "n_convlayer"},
                                                         {"expand", "expand"},
                                                         {"normalizer_init", "normalizer_init"},
                                                         {"local", "local_len"}}};

/// Weights from before these options existed were trained as the defaults say.
constexpr std::array<const char*, 11> kLaterOptions = {
    "score_decay",  "score_distance",  "normalizer_per_head", "normalizer_range",
    "mass_channel", "mix_keys",        "positions",           "position_cap",
    "mixing",       "retention_units", "alone_fraction"};

/// What weights do not depend on: each training decides for itself.
constexpr std::array<const char*, 4> kOfTraining = {"boundary_targets", "first_block_gradient",
                                                    "bptt_blocks", "distill"};

template <size_t N>
bool contains(const std::array<const char*, N>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

Json json_of(const FieldValue& value) {
  if (const auto* integer = std::get_if<IntegerField>(&value)) return *integer->value;
  if (const auto* number = std::get_if<NumberField>(&value)) return *number->value;
  if (const auto* flag = std::get_if<BoolField>(&value)) return *flag->value;
  if (const auto* choice = std::get_if<ChoiceField>(&value)) return choice->names[choice->get()];
  throw std::logic_error("a cache option is an integer, a number, a flag or a choice");
}

/// Every key of the section `cache`, in the schema's order and with its names of choices.
Json options_of(const CacheConfig& cache) {
  const std::string section = "cache.";
  Config config;
  config.cache = cache;
  Json options;
  for (const Field& field : config_fields(config)) {
    if (field.key.starts_with(section))
      options[field.key.substr(section.size())] = json_of(field.value);
  }
  return options;
}

std::string first_difference(const std::string& options_json, const CacheConfig& cache,
                             std::initializer_list<const char*> keys) {
  const Json there = parse_json(options_json, "the cache options beside the weights");
  if (!there.is_object()) throw UserError("the cache options beside the weights are not JSON");
  const Json here = options_of(cache), defaults = options_of(CacheConfig{});
  Json all;
  for (const char* key : kLaterOptions) all[key] = defaults[key];
  all.update(there);
  for (const char* key : keys) {
    if (!all.contains(key) || all[key] == here[key]) continue;
    return std::string("cache.") + key + " is " + all[key].dump() + " there and " +
           here[key].dump() + " here";
  }
  return "";
}

}  // namespace

std::string policy_name(const CacheConfig& cache) {
  return options_of(cache)["policy"].get<std::string>();
}

std::string cache_options_json(const CacheConfig& cache) {
  return options_of(cache).dump(2) + "\n";
}

std::string cache_difference(const std::string& options_json, const CacheConfig& cache) {
  std::string difference = first_difference(options_json, cache, {"policy"});
  if (!difference.empty() || !cache.compresses()) return difference;
  // A gate is taught for several numbers of slots, and serves others too; convolutions fit one
  // division of the slots alone. Weights without any may get some.
  if (cache.has_retention()) {
    difference = first_difference(options_json, cache, {"retention_units"});
    const bool is_new = begins_mixing(options_json, cache);
    if (!difference.empty() || !cache.has_convs() || is_new) return difference;
    return first_difference(options_json, cache,
                            {"slots", "local", "sinks", "alone_fraction", "kernel_size",
                             "conv_layers", "expand", "normalizer_per_head", "mass_channel"});
  }
  difference = first_difference(
      options_json, cache,
      {"slots", "local", "sinks", "scores", "score_decay", "score_distance", "keys"});
  if (!difference.empty() || !cache.has_convs()) return difference;
  return first_difference(options_json, cache,
                          {"keep_fraction", "kernel_size", "conv_layers", "expand",
                           "normalizer_per_head", "mass_channel", "mix_keys"});
}

bool begins_mixing(const std::string& options_json, const CacheConfig& cache) {
  return cache.has_retention() && cache.has_convs() &&
         !first_difference(options_json, cache, {"mixing"}).empty();
}

std::string harmless_cache_difference(const std::string& options_json, const CacheConfig& cache) {
  if (cache.has_retention()) {
    return first_difference(options_json, cache,
                            {"score_decay", "score_distance", "keys", "positions"});
  }
  return first_difference(options_json, cache, {"block", "buffer", "normalizer_range"});
}

std::vector<std::string> adopt_cache_options(const std::string& options_json,
                                             const std::string& path,
                                             const std::set<std::string>& given,
                                             CacheConfig* cache) {
  const Json before = options_of(*cache);
  YamlNode adopted;
  adopted.kind = YamlNode::Kind::kMap;
  const YamlNode stored = parse_yaml(options_json, path, /*with_lines=*/false);
  for (const auto& [name, value] : stored.entries) {
    const bool is_known = before.contains(name), is_of_training = contains(kOfTraining, name);
    if (is_known && !is_of_training && given.count(name) == 0)
      adopted.entries.emplace_back(name, value);
  }
  YamlNode tree;
  tree.kind = YamlNode::Kind::kMap;
  tree.entries.emplace_back("cache", std::move(adopted));
  Config config;
  config.cache = *cache;
  ConfigOrigins origins;
  read_config(tree, &config, &origins);
  *cache = config.cache;
  // Of another policy these options mean nothing; what mixes would be refused.
  if (!cache->has_retention() && given.count("mixing") == 0) cache->mixing = MixingKind::kNone;

  std::vector<std::string> changed;
  const Json after = options_of(*cache);
  for (const auto& [name, value] : after.items()) {
    if (value == before[name]) continue;
    changed.push_back("cache." + name + " " +
                      (value.is_string() ? value.get<std::string>() : value.dump()));
  }
  return changed;
}

std::string official_arguments_json(const CacheConfig& cache) {
  const Json options = options_of(cache);
  const Json official = {{"policy", "lococo"},       {"scores", "last_block"},
                         {"score_distance", 0},      {"normalizer_per_head", false},
                         {"mass_channel", false},    {"mix_keys", true},
                         {"keys", "rotated"},        {"sinks", 0},
                         {"buffer", kOfficialBuffer}};
  for (const auto& [key, value] : official.items()) {
    if (options[key] == value) continue;
    throw UserError("cache." + key + " is " + options[key].dump() +
                    ", the official code only knows " + value.dump() + "; use export.kind: conv");
  }
  Json arguments = {{"method", "conv"}, {"hidden_act", "relu"}};
  for (const auto& [ours, name] : kOfficialNames) arguments[name] = options[ours];
  return arguments.dump(2) + "\n";
}

std::string options_of_official_arguments(const std::string& arguments_json,
                                          const std::string& path) {
  const Json arguments = parse_json(arguments_json, path);
  if (!arguments.is_object()) throw UserError(path + ": is not a JSON object");
  if (arguments.value("method", Json("conv")) != "conv" ||
      arguments.value("hidden_act", Json("relu")) != "relu") {
    throw UserError(path + ": only method conv with hidden_act relu can be read");
  }
  Json options = {{"policy", "lococo"},
                  {"scores", "last_block"},
                  {"keys", "rotated"},
                  {"sinks", 0},
                  {"buffer", kOfficialBuffer}};
  for (const auto& [ours, name] : kOfficialNames) {
    if (arguments.contains(name)) options[ours] = arguments[name];
  }
  return options.dump();
}

}  // namespace lococo
