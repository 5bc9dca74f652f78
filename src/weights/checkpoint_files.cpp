#include "weights/checkpoint_files.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
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
  Json json = Json::parse(read_text_file(path), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) throw UserError(path + ": is not JSON");
  if (json.value("format", Json()) != kFormat) {
    throw UserError(path + ": has format " + json.value("format", Json()).dump() +
                    ", this version reads format " + std::to_string(kFormat));
  }
  return json;
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
  const Json json = parse_state(dir);
  StoredState stored;
  CheckpointState& state = stored.state;
  try {
    state.step = json.at("step").get<int64_t>();
    state.tokens_seen = json.at("tokens_seen").get<int64_t>();
    state.base_fingerprint = json.at("base_fingerprint").get<std::string>();
    state.base_path = json.at("base_path").get<std::string>();
    state.adapter_path = json.at("adapter_path").get<std::string>();
    state.data_fingerprints =
        json.value("data_fingerprints", std::vector<uint64_t>());  // older files have none
    state.git_revision = json.at("git_revision").get<std::string>();
    state.threads = json.at("threads").get<int64_t>();
    state.world_size = json.at("world_size").get<int64_t>();
    stored.trainable = json.at("trainable").get<std::set<std::string>>();
    stored.cache_json = json.at("cache").dump();
  } catch (const Json::exception& error) {
    throw UserError(dir + "/" + kStateFile + ": is incomplete (" + error.what() + ")");
  }
  state.config_yaml = read_text_file(dir + "/" + kConfigFile);
  return stored;
}

bool is_checkpoint(const std::string& dir) { return fs::exists(dir + "/" + kStateFile); }

bool holds_whole_base(const std::string& dir) {
  return is_checkpoint(dir) && (fs::exists(dir + "/model.safetensors") ||
                                fs::exists(dir + "/model.safetensors.index.json"));
}

std::string find_damage(const std::string& dir) {
  if (!is_checkpoint(dir)) return "it has no state.json";
  Json files;
  try {
    files = parse_state(dir).at("files");
    read_state(dir);
  } catch (const UserError& error) {
    return error.what();
  } catch (const Json::exception&) {
    return "its state.json lists no files";
  }
  for (const auto& [name, listed] : files.items()) {
    const std::string path = dir + "/" + name;
    std::error_code error;
    const auto bytes = fs::file_size(path, error);
    if (error) return name + " is missing";
    const Json want = listed.value("bytes", Json());
    if (want != bytes) {
      return name + " is " + std::to_string(bytes) + " bytes long instead of " + want.dump();
    }
    if (listed.value("xxh64", Json()) != checksum_of_file(path)) {
      return "the content of " + name + " has changed (checksum)";
    }
  }
  return "";
}

std::vector<std::pair<int64_t, std::string>> checkpoints_newest_first(const std::string& output) {
  std::vector<std::pair<int64_t, std::string>> found;
  if (!fs::is_directory(output)) return found;
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
