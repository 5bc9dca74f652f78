#include "weights/hf_config_merge.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/json_file.h"

namespace lococo {
namespace {

using Json = nlohmann::ordered_json;

/// What a run of ours decides about a model of a given shape: its angles and the weights' dtype.
constexpr const char* kOurs[] = {"max_position_embeddings", "rope_theta",  "rope_scaling",
                                 "rope_parameters",         "torch_dtype", "dtype"};

}  // namespace

std::string merge_hf_config(const std::string& base_text, const std::string& own_text,
                            const std::string& name) {
  if (!parse_json(base_text, name).is_object()) throw UserError(name + ": is not a JSON object");
  Json merged = Json::parse(base_text);  // again, because parse_json() does not keep the order
  const Json own = Json::parse(own_text);
  for (const char* key : kOurs) merged[key] = own.at(key);
  for (const auto& [key, value] : own.items()) {
    // An absent key of the base has the default that we wrote out; null is a value of some.
    if (!merged.contains(key)) merged[key] = value;
  }
  return merged.dump(2) + "\n";
}

void keep_base_config(const std::string& base, const std::string& dir) {
  if (base.empty()) return;
  const std::string from = base + "/config.json", to = dir + "/config.json";
  write_text_file(to, merge_hf_config(read_text_file(from), read_text_file(to), from));
}

}  // namespace lococo
