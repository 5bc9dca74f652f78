#include "weights/conv_weights.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "weights/cache_options.h"
#include "weights/tensor_check.h"

namespace lococo {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFingerprintKey = "base_fingerprint";

std::string tensor_path(const std::string& dir) { return dir + "/lococo.safetensors"; }
std::string options_path(const std::string& dir) { return dir + "/lococo_config.json"; }
std::string official_path(const std::string& dir) { return dir + "/lococo_args.json"; }

bool is_conv(const std::string& name) { return name.find(".memory_saver.") != std::string::npos; }

/// The name without what training wrappers put before it.
std::string plain_name(std::string name) {
  for (const std::string prefix : {"module.", "base_model.model."}) {
    if (name.rfind(prefix, 0) == 0) name.erase(0, prefix.size());
  }
  return name;
}

std::map<std::string, TensorView> views_of(const SafetensorsFile& file, bool allow_others) {
  std::map<std::string, TensorView> views;
  int64_t others = 0;
  for (const auto& [name, view] : file.tensors()) {
    const std::string plain = plain_name(name);
    if (allow_others && !is_conv(plain)) {
      ++others;
    } else if (!views.emplace(plain, view).second) {
      throw UserError(file.path() + ": holds " + plain + " twice under two names");
    }
  }
  if (others > 0) {
    log_info(file.path() + ": left out " + std::to_string(others) +
             " tensors that are no LoCoCo modules");
  }
  return views;
}

/// Refuses a folder whose options differ from the model's; returns whether it is one of ours.
bool check_options(const std::string& dir, const CacheConfig& cache) {
  const bool ours = fs::exists(options_path(dir));
  const bool official = !ours && fs::exists(official_path(dir));
  if (!ours && !official) {
    log_warn(dir +
             ": says nothing about the cache options of its LoCoCo modules; only their shapes "
             "are checked");
    return false;
  }
  const std::string path = ours ? options_path(dir) : official_path(dir);
  const std::string text = read_text_file(path);
  const std::string options = ours ? text : options_of_official_arguments(text, path);
  const std::string difference = cache_difference(options, cache);
  if (!difference.empty()) {
    throw UserError(path + ": " + difference +
                    "; give the run the options that the weights were "
                    "trained with");
  }
  const std::string harmless = harmless_cache_difference(options, cache);
  if (!harmless.empty()) log_warn(path + ": " + harmless);
  return ours;
}

}  // namespace

TensorMap conv_parameters(Llama& model) {
  TensorMap parameters;
  for (const auto& item : model->named_parameters()) {
    if (is_conv(item.key())) parameters[item.key()] = item.value();
  }
  return parameters;
}

void save_conv_weights(Llama& model, const std::string& dir, const std::string& base_fingerprint,
                       ConvConfigNames names) {
  const TensorMap parameters = conv_parameters(model);
  if (parameters.empty()) {
    throw UserError("the model has no LoCoCo modules to write; set cache.policy: lococo");
  }
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  if (!base_fingerprint.empty()) metadata[kFingerprintKey] = base_fingerprint;
  const bool ours = names == ConvConfigNames::kOurs;
  const std::string options = ours ? cache_options_json(model->cache_config())
                                   : official_arguments_json(model->cache_config());
  write_tensors(tensor_path(dir), parameters, metadata);
  write_text_file(ours ? options_path(dir) : official_path(dir), options);
}

bool has_conv_weights(const std::string& dir) { return fs::exists(tensor_path(dir)); }

void load_conv_weights(Llama& model, const std::string& dir) {
  const TensorMap parameters = conv_parameters(model);
  if (parameters.empty()) {
    throw UserError(dir +
                    ": holds LoCoCo modules, but the model has none; set cache.policy: lococo");
  }
  const bool ours = check_options(dir, model->cache_config());
  const SafetensorsFile file(tensor_path(dir));
  const auto views = views_of(file, /*allow_others=*/!ours);
  TensorCheck check;
  check.compare_all(views, parameters);
  check.throw_if_any(file.path(),
                     "compare cache.slots, keep_fraction, kernel_size, conv_layers, expand, "
                     "normalizer_per_head and mass_channel with the training run's, and the "
                     "model's shape");
  for (const auto& [name, parameter] : parameters) copy_into(parameter, views.at(name));
}

std::string base_fingerprint_of_conv(const std::string& dir) {
  const SafetensorsFile file(tensor_path(dir));
  const auto found = file.metadata().find(kFingerprintKey);
  return found == file.metadata().end() ? "" : found->second;
}

}  // namespace lococo
