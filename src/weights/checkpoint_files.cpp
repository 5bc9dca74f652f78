#include "weights/checkpoint_files.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/json_file.h"
#include "weights/fingerprint.h"

namespace lococo {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int64_t kFormat = 1;
constexpr const char* kStepPrefix = "step-";

/// The step that a folder's name says, or -1.
int64_t step_of_name(const std::string& name) {
  constexpr size_t kPrefix = 5;
  const std::string digits = name.rfind(kStepPrefix, 0) == 0 ? name.substr(kPrefix) : "";
  const bool is_number = !digits.empty() && digits.size() <= 18 &&
                         digits.find_first_not_of("0123456789") == std::string::npos;
  if (!is_number) return -1;
  const int64_t step = std::stoll(digits);
  return checkpoint_name(step) == name ? step : -1;
}

Json list_files(const std::string& dir) {
  std::map<std::string, Json> files;  // in the order of their names
  for (const auto& entry : fs::directory_iterator(dir)) {
    files[entry.path().filename().string()] = {{"bytes", entry.file_size()},
                                               {"xxh64", checksum_of_file(entry.path().string())}};
  }
  return files;
}

Json parse_state(const std::string& dir) {
  const std::string path = dir + "/" + kStateFile;
  const Json json = read_json_object(path);
  if (json.value("format", Json()) != kFormat) {
    throw UserError(path + ": has format " + json.value("format", Json()).dump() +
                    ", this version reads format " + std::to_string(kFormat));
  }
  return json;
}

/// Typed access to state.json. Every error is a UserError that names the file and the key.
class StateReader {
 public:
  explicit StateReader(const std::string& dir)
      : json_(parse_state(dir)), path_(dir + "/" + kStateFile) {}

  int64_t count(const char* key) const {
    const Json& value = find(key);
    require(value.is_number_integer() && value >= 0, key, "a whole number from 0");
    return value.get<int64_t>();
  }
  std::string text(const char* key) const {
    require(find(key).is_string(), key, "a text");
    return find(key).get<std::string>();
  }
  const Json& object(const char* key) const {
    require(find(key).is_object(), key, "an object");
    return find(key);
  }
  std::set<std::string> names(const char* key) const {
    const Json& list = find(key);
    const auto is_text = [](const Json& item) { return item.is_string(); };
    require(list.is_array() && std::all_of(list.begin(), list.end(), is_text), key,
            "a list of names");
    return list.get<std::set<std::string>>();
  }
  /// Empty where the key is missing: older files lack it.
  std::vector<uint64_t> fingerprints(const char* key) const {
    if (!json_.contains(key)) return {};
    const Json& list = find(key);
    const auto is_number = [](const Json& item) { return item.is_number_unsigned(); };
    require(list.is_array() && std::all_of(list.begin(), list.end(), is_number), key,
            "a list of whole numbers");
    return list.get<std::vector<uint64_t>>();
  }

 private:
  const Json& find(const char* key) const {
    if (!json_.contains(key)) throw UserError(path_ + ": is incomplete (it has no " + key + ")");
    return json_.at(key);
  }
  void require(bool holds, const std::string& key, const std::string& wanted) const {
    if (!holds) throw UserError(path_ + ": is damaged (" + key + " is not " + wanted + ")");
  }

  Json json_;
  std::string path_;
};

std::string damage_of_file(const std::string& dir, const std::string& name, const Json& listed,
                           DamageCheck check) {
  const bool is_entry = name.find('/') == std::string::npos && listed.is_object() &&
                        listed.contains("bytes") && listed["bytes"].is_number_unsigned() &&
                        listed.contains("xxh64") && listed["xxh64"].is_string();
  if (!is_entry) return "its state.json does not say size and checksum of " + name;
  const std::string path = dir + "/" + name;
  std::error_code error;
  const auto bytes = fs::file_size(path, error);
  if (error) return name + " is missing";
  if (listed["bytes"] != bytes) {
    return name + " is " + std::to_string(bytes) + " bytes long instead of " +
           listed["bytes"].dump();
  }
  const bool changed =
      check == DamageCheck::kEveryByte && listed["xxh64"] != checksum_of_file(path);
  return changed ? "the content of " + name + " has changed (checksum)" : "";
}

}  // namespace

std::string checkpoint_name(int64_t step) {
  char name[32];
  std::snprintf(name, sizeof(name), "%s%08" PRId64, kStepPrefix, step);
  return name;
}

std::set<std::string> trainable_names(const ParameterRegistry& registry) {
  std::set<std::string> names;
  for (const RegisteredParameter& parameter : registry.trainable()) names.insert(parameter.name);
  return names;
}

void write_state(const std::string& dir, const CheckpointState& state,
                 const std::set<std::string>& trainable, const std::string& cache_json) {
  const Json json = {{"format", kFormat},
                     {"step", state.step},
                     {"tokens_seen", state.tokens_seen},
                     {"base_fingerprint", state.base_fingerprint},
                     {"data_fingerprints", state.data_fingerprints},
                     {"base_path", state.base_path},
                     {"adapter_path", state.adapter_path},
                     {"git_revision", state.git_revision},
                     {"threads", state.threads},
                     {"world_size", state.world_size},
                     {"cache", Json::parse(cache_json)},
                     {"trainable", trainable},
                     {"files", list_files(dir)}};
  write_text_file(dir + "/" + kStateFile, json.dump(1) + "\n");
}

StoredState read_state(const std::string& dir) {
  const StateReader json(dir);
  StoredState stored;
  CheckpointState& state = stored.state;
  state.step = json.count("step");
  state.tokens_seen = json.count("tokens_seen");
  state.base_fingerprint = json.text("base_fingerprint");
  state.data_fingerprints = json.fingerprints("data_fingerprints");
  state.base_path = json.text("base_path");
  state.adapter_path = json.text("adapter_path");
  state.git_revision = json.text("git_revision");
  state.threads = json.count("threads");
  state.world_size = json.count("world_size");
  stored.trainable = json.names("trainable");
  stored.cache_json = json.object("cache").dump();
  state.config_yaml = read_text_file(dir + "/" + kConfigFile);
  return stored;
}

bool is_checkpoint(const std::string& dir) { return path_exists(dir + "/" + kStateFile); }

bool holds_whole_base(const std::string& dir) {
  return is_checkpoint(dir) && (path_exists(dir + "/model.safetensors") ||
                                path_exists(dir + "/model.safetensors.index.json"));
}

std::string find_damage(const std::string& dir, CheckpointUse use, DamageCheck check) {
  if (!is_checkpoint(dir)) return "it has no state.json";
  Json files;
  try {
    read_state(dir);
    files = StateReader(dir).object("files");
  } catch (const UserError& error) {
    return error.what();
  }
  for (const char* name : {kConfigFile, kOptimizerFile}) {
    if (!files.contains(name)) return "its state.json lists no files named " + std::string(name);
  }
  for (const auto& [name, listed] : files.items()) {
    if (use == CheckpointUse::kWeights && name == kOptimizerFile) continue;
    const std::string problem = damage_of_file(dir, name, listed, check);
    if (!problem.empty()) return problem;
  }
  return "";
}

StoredState read_resumable(const std::string& dir, DamageCheck check) {
  const std::string problem = find_damage(dir, CheckpointUse::kResume, check);
  if (problem.empty()) return read_state(dir);
  throw UserError(dir + ": cannot resume from this folder, because " + problem +
                  "; choose another checkpoint (train.resume)");
}

std::vector<std::pair<int64_t, std::string>> checkpoints_newest_first(const std::string& output) {
  std::vector<std::pair<int64_t, std::string>> found;
  if (!is_folder(output)) return found;
  for (const auto& entry : fs::directory_iterator(output)) {
    const std::string name = entry.path().filename().string();
    const int64_t step = step_of_name(name);
    const std::string dir = output + "/" + name;
    if (step >= 0 && entry.is_directory() && is_checkpoint(dir)) found.emplace_back(step, dir);
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

}  // namespace lococo
