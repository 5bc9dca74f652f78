#include "weights/conv_weights.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/files.h"
#include "core/json_file.h"
#include "core/log.h"
#include "model/parameter_kind.h"
#include "tensor/kit/torch.h"
#include "weights/cache_options.h"
#include "weights/fingerprint.h"
#include "weights/tensor_check.h"

namespace lococo {
namespace {

std::string conv_path(const std::string& dir) { return dir + "/lococo.safetensors"; }
std::string options_path(const std::string& dir) { return dir + "/lococo_config.json"; }
std::string official_path(const std::string& dir) { return dir + "/lococo_args.json"; }

bool is_conv(const std::string& name) { return is_of_policy(kind_of_parameter(name)); }

std::string parts_text(bool gates, bool convs) {
  if (!gates) return convs ? "convolutions" : "";
  return convs ? "gates and convolutions" : "gates";
}

/// The name without what training wrappers put before it.
std::string unwrapped_name(std::string name) {
  for (const std::string prefix : {"module.", "base_model.model."}) {
    if (name.rfind(prefix, 0) == 0) name.erase(0, prefix.size());
  }
  return name;
}

std::map<std::string, TensorView> views_of(const SafetensorsFile& file, bool allow_others) {
  std::map<std::string, TensorView> views;
  int64_t others = 0;
  for (const auto& [name, view] : file.tensors()) {
    const std::string plain = unwrapped_name(name);
    if (allow_others && !is_conv(plain)) {
      ++others;
    } else if (!views.emplace(plain, view).second) {
      throw UserError(file.path() + ": holds " + plain + " twice under two names");
    }
  }
  if (others > 0) {
    log_info(file.path() + ": left out " + std::to_string(others) +
             " tensors that are neither gates nor convolutions of a cache");
  }
  return views;
}

/// Refuses a folder whose options differ from the model's; returns whether it is one of ours.
bool check_options(const std::string& dir, const CacheConfig& cache) {
  const auto stored = read_cache_options(dir);
  if (!stored) {
    log_warn(dir + ": says nothing about the cache options of its " + learned_parts_in(dir) +
             "; only their shapes are checked");
    return false;
  }
  const std::string difference = cache_difference(stored->json, cache);
  if (!difference.empty()) {
    throw UserError(stored->path + ": " + difference +
                    "; give the run the options that the weights were "
                    "trained with");
  }
  const std::string harmless = harmless_cache_difference(stored->json, cache);
  if (!harmless.empty()) log_warn(stored->path + ": " + harmless);
  return stored->path == options_path(dir);
}

/// What such a folder has to hold of `parameters`: gates alone, where they get convolutions now.
TensorMap expected_in(const std::string& dir, const CacheConfig& cache,
                      const TensorMap& parameters) {
  if (!begins_mixing_from(dir, cache)) return parameters;
  log_info(dir + ": has gates and no convolutions; those of cache.mixing begin anew");
  TensorMap gates;
  for (const auto& [name, tensor] : parameters)
    if (kind_of_parameter(name) == ParameterKind::kRetention) gates[name] = tensor;
  return gates;
}

/// Leaves out the convolutions of a memory that mixes, where this one does not.
void leave_out_mixing(const std::string& dir, const CacheConfig& cache,
                      std::map<std::string, TensorView>* views) {
  if (!cache.has_retention() || cache.has_convs()) return;
  const size_t convs = std::erase_if(*views, [](const auto& item) {
    return kind_of_parameter(item.first) != ParameterKind::kRetention;
  });
  if (convs > 0) {
    log_info(dir + ": left out " + std::to_string(convs) +
             " tensors of convolutions, because cache.mixing has none here");
  }
}

struct ConvFile {
  TensorMap parameters;  ///< that it holds
  SafetensorsFile file;  ///< keeps the views alive
  std::map<std::string, TensorView> views;
};

/// DIR/lococo.safetensors, which fits the parameters and the options.
ConvFile open_matching(const TensorMap& parameters, const CacheConfig& cache,
                       const LayerRange& part, const std::string& dir) {
  TORCH_CHECK(!parameters.empty(), dir, ": gates or convolutions, and the cache learns neither");
  const bool ours = check_options(dir, cache);
  ConvFile opened{expected_in(dir, cache, parameters), SafetensorsFile(conv_path(dir)), {}};
  opened.views = views_of(opened.file, /*allow_others=*/!ours);
  std::erase_if(opened.views, [&](const auto& item) { return part.is_elsewhere(item.first); });
  leave_out_mixing(dir, cache, &opened.views);
  TensorCheck check;
  check.compare_all(opened.views, opened.parameters);
  check.throw_if_any(opened.file.path(),
                     "compare cache.slots, keep_fraction, kernel_size, conv_layers, expand, "
                     "normalizer_per_head and mass_channel with the training run's, and the "
                     "model's shape");
  return opened;
}

}  // namespace

std::optional<StoredCacheOptions> read_cache_options(const std::string& dir) {
  if (path_exists(options_path(dir)))
    return StoredCacheOptions{read_json_object(options_path(dir)).dump(), options_path(dir)};
  const std::string path = official_path(dir);
  if (!path_exists(path)) return std::nullopt;
  const std::string arguments = read_json_object(path).dump();
  return StoredCacheOptions{options_of_official_arguments(arguments, path), path};
}

bool begins_mixing_from(const std::string& dir, const CacheConfig& cache) {
  const auto stored = read_cache_options(dir);
  return stored && begins_mixing(stored->json, cache);
}

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
  TORCH_CHECK(!parameters.empty(), "the cache has neither gates nor convolutions to write");
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
  if (!base_fingerprint.empty()) metadata[kBaseFingerprintKey] = base_fingerprint;
  const bool ours = names == ConvConfigNames::kOurs;
  const std::string options = ours ? cache_options_json(model->cache_config())
                                   : official_arguments_json(model->cache_config());
  write_tensors(conv_path(dir), parameters, metadata);
  write_text_file(ours ? options_path(dir) : official_path(dir), options);
}

std::string learned_parts(const CacheConfig& cache) {
  return parts_text(cache.has_retention(), cache.has_convs());
}

std::string learned_parts_in(const std::string& dir) {
  const SafetensorsFile file(conv_path(dir));
  bool gates = false, convs = false;
  for (const auto& [name, view] : file.tensors()) {
    const std::string plain = unwrapped_name(name);
    if (!is_conv(plain)) continue;
    const bool is_gate = kind_of_parameter(plain) == ParameterKind::kRetention;
    (is_gate ? gates : convs) = true;
  }
  if (!gates && !convs) {
    throw UserError(file.path() +
                    ": holds neither gates nor convolutions of a cache; copy it again from where "
                    "it was made, or take it out of the folder");
  }
  return parts_text(gates, convs);
}

bool has_conv_weights(const std::string& dir) { return path_exists(conv_path(dir)); }

void load_conv_weights(Llama& model, const std::string& dir) {
  const ConvFile file =
      open_matching(conv_parameters(model), model->cache_config(), model->range(), dir);
  copy_all(file.parameters, file.views, [&](const std::string&) { return file.file.path(); });
  file.file.check_unchanged();
}

void check_conv_weights(const TensorMap& parameters, const CacheConfig& cache,
                        const std::string& dir) {
  open_matching(parameters, cache, LayerRange(), dir);
}

std::string base_fingerprint_of_conv(const std::string& dir) {
  const SafetensorsFile file(conv_path(dir));
  const auto found = file.metadata().find(kBaseFingerprintKey);
  return found == file.metadata().end() ? "" : found->second;
}

}  // namespace lococo
