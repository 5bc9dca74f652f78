#include "weights/checkpoint.h"

#include <filesystem>
#include <functional>
#include <numeric>
#include <set>

#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "model/parameter_kind.h"
#include "tensor/kit/finite.h"
#include "tensor/kit/torch.h"
#include "weights/atomic_folder.h"
#include "weights/cache_options.h"
#include "weights/checkpoint_files.h"
#include "weights/conv_weights.h"
#include "weights/fingerprint.h"
#include "weights/hf_weights.h"
#include "weights/hf_weights_save.h"
#include "weights/lora_adapter.h"
#include "weights/lora_adapter_config.h"
#include "weights/tensor_check.h"

namespace lococo {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxShardBytes = 5000000000;

/// Which of a checkpoint's parts a run has to write.
struct Contents {
  bool whole_base = false;
  bool adapter = false;
  bool conv = false;
  std::vector<std::string> saved_whole;  ///< base tensors in the adapter
};

bool is_of_policy(const RegisteredParameter& parameter) {
  return is_of_policy(kind_of_parameter(parameter.name));
}

/// What the run tunes, and what its own adapter (model.adapter) had replaced before: without the
/// latter a checkpoint would not be the model that was trained.
Contents contents_of(const CheckpointState& state, const std::vector<RegisteredParameter>& all) {
  Contents contents;
  std::set<std::string> whole;
  bool lora = false;
  for (const RegisteredParameter& parameter : all) {
    if (parameter.group == ParameterGroup::kLora) lora = true;
    if (is_of_policy(parameter)) contents.conv = true;
    if (!parameter.trainable) continue;
    if (parameter.group == ParameterGroup::kBase) contents.whole_base = true;
    const bool in_adapter =
        parameter.group == ParameterGroup::kEmbed || parameter.group == ParameterGroup::kNorm;
    if (in_adapter) whole.insert(parameter.name);
  }
  if (!state.adapter_path.empty()) {
    if (holds_whole_base(state.adapter_path)) contents.whole_base = true;
    if (has_adapter(state.adapter_path)) {
      for (const std::string& name : whole_tensors_of_adapter(state.adapter_path)) {
        whole.insert(name);
      }
    }
  }
  if (contents.whole_base) whole.clear();
  contents.saved_whole.assign(whole.begin(), whole.end());
  contents.adapter = lora || !whole.empty();
  return contents;
}

int64_t bytes_of_checkpoint(const Contents& contents, Llama& model,
                            const ParameterRegistry& registry, const StateToSave& optimizer_state) {
  constexpr int64_t kSmallFiles = 1 << 20;
  const std::set<std::string> whole(contents.saved_whole.begin(), contents.saved_whole.end());
  int64_t bytes = kSmallFiles;
  for (const RegisteredParameter& parameter : registry.all()) {
    const bool is_base = is_of_base(kind_of_parameter(parameter.name));
    if (is_base && !contents.whole_base && whole.count(parameter.name) == 0) continue;
    const int64_t copies = model->shape().tie_word_embeddings && is_base ? 2 : 1;
    bytes += copies * static_cast<int64_t>(parameter.tensor.nbytes());
  }
  for (const auto& [name, shape] : optimizer_state.tensors) {
    bytes += std::accumulate(shape.begin(), shape.end(), static_cast<int64_t>(sizeof(float)),
                             std::multiplies<>());
  }
  return bytes;
}

/// Removes all but the newest `keep_last` checkpoints up to `step`; later ones are another run's.
void remove_older(const std::string& output, int64_t keep_last, int64_t step) {
  int64_t kept = 0;
  for (const auto& [found, dir] : checkpoints_newest_first(output)) {
    if (found > step || ++kept <= std::max<int64_t>(keep_last, 1)) continue;
    // Renamed first: a removal that is cut short must not leave half a checkpoint under its name.
    const std::string doomed = output + "/.tmp-" + checkpoint_name(found);
    std::error_code error;
    fs::remove_all(doomed, error);
    fs::rename(dir, doomed, error);
    if (!error) fs::remove_all(doomed, error);
    if (error) log_warn(dir + ": cannot remove the old checkpoint: " + error.message());
  }
}

void check_same_training(const std::string& dir, const StoredState& stored,
                         const ParameterRegistry& registry, const CacheConfig& cache) {
  const std::string place = dir + "/" + kStateFile;
  const auto here = trainable_names(registry);
  for (const auto& name : stored.trainable) {
    if (here.count(name) > 0) continue;
    throw UserError(place + ": the checkpoint trains " + name +
                    ", this run does not; give the run the same tune: section, or start a new run "
                    "with model.adapter: " +
                    dir);
  }
  for (const auto& name : here) {
    if (stored.trainable.count(name) > 0) continue;
    throw UserError(place + ": this run trains " + name +
                    ", the checkpoint does not; give the run the same tune: section, or start a "
                    "new run with model.adapter: " +
                    dir);
  }
  const std::string difference = cache_difference(stored.cache_json, cache);
  if (!difference.empty()) throw UserError(place + ": " + difference + "; resume with the same");
}

void check_base(const std::string& dir, const std::string& there, const std::string& here) {
  if (may_be_same_base(there, here)) return;
  throw UserError(dir + ": was trained on another base model (fingerprint " + there +
                  ", model.path has " + here + ": other " + base_difference(there, here) +
                  "); set model.path to the base it belongs to");
}

/// What a folder holds to load.
struct Parts {
  bool whole_base = false;
  bool adapter = false;
  bool conv = false;
};

/// Throws UserError for a folder without any, or of another base.
Parts find_parts(const std::string& dir, const std::string& base_fingerprint, DamageCheck check) {
  if (!is_folder(dir)) throw UserError(dir + ": there is no such folder (model.adapter)");
  const Parts parts = {holds_whole_base(dir), has_adapter(dir), has_conv_weights(dir)};
  if (is_checkpoint(dir)) {
    const std::string problem = find_damage(dir, CheckpointUse::kWeights, check);
    if (!problem.empty()) throw UserError(dir + ": is a damaged checkpoint: " + problem);
    check_base(dir, read_state(dir).state.base_fingerprint, base_fingerprint);
  } else {
    if (path_exists(dir + "/" + kOptimizerFile)) {
      throw UserError(dir + ": is a checkpoint that has lost its " + kStateFile +
                      ", which says whether it is complete; choose another, or remove its " +
                      kOptimizerFile + " to use it as it is");
    }
    if (parts.adapter) check_base(dir, base_fingerprint_of_adapter(dir), base_fingerprint);
    if (parts.conv) check_base(dir, base_fingerprint_of_conv(dir), base_fingerprint);
  }
  if (!parts.whole_base && !parts.adapter && !parts.conv) {
    throw UserError(dir +
                    ": holds no adapter_config.json and no lococo.safetensors; model.adapter "
                    "needs a checkpoint, an exported folder or a PEFT adapter");
  }
  return parts;
}

void load_parts(const std::string& dir, const Parts& parts, Llama& model) {
  if (parts.whole_base && model->is_quantised()) {
    throw UserError(dir +
                    ": holds every weight of a tuned base, which model.base_precision does not "
                    "quantise; write a merged model of it (lococo-export) and give that as "
                    "model.path");
  }
  if (parts.whole_base) load_hf_weights(model, dir);
  if (parts.adapter) load_adapter(model, dir);
  if (!parts.conv) return;
  if (model->cache_config().learns()) {
    load_conv_weights(model, dir);
  } else {
    log_warn(dir + ": its " + learned_parts_in(dir) +
             " are left out, because cache.policy is neither lococo nor retention");
  }
}

/// Before a checkpoint gets its name: one that is not finite would pass as good, and no run could
/// go on from it.
void require_finite(const std::string& output, const CheckpointState& state,
                    const ParameterRegistry& registry, const StateToSave& optimizer_state) {
  std::string name;
  if (!optimizer_state.not_finite.empty()) name = "the optimizer's " + optimizer_state.not_finite;
  const auto trained = registry.trainable();
  std::vector<torch::Tensor> tensors;
  for (const RegisteredParameter& parameter : trained) tensors.push_back(parameter.tensor);
  if (const auto found = first_non_finite(tensors)) name = trained[*found].name;
  if (name.empty()) return;
  const auto saved = checkpoints_newest_first(output);
  throw UserError(
      "step " + std::to_string(state.step) + ": " + name +
      " is not finite (NaN or infinity), so nothing was saved" +
      (saved.empty() ? "" : " and the last checkpoint " + saved.front().second + " stays") +
      "; use a smaller learning rate or a larger train.epsilon");
}

}  // namespace

std::set<std::string> checkpoint_parameters(const CheckpointState& state,
                                            const std::vector<RegisteredParameter>& all) {
  const Contents contents = contents_of(state, all);
  std::set<std::string> names(contents.saved_whole.begin(), contents.saved_whole.end());
  for (const RegisteredParameter& parameter : all) {
    const bool of_base = is_of_base(kind_of_parameter(parameter.name));
    if (!of_base || contents.whole_base) names.insert(parameter.name);
  }
  return names;
}

std::string save_checkpoint(const std::string& output, const CheckpointConfig& config,
                            const CheckpointState& state, Llama& model,
                            const ParameterRegistry& registry, const StateToSave& optimizer_state) {
  const std::string dir = output + "/" + checkpoint_name(state.step);
  const Contents contents = contents_of(state, registry.all());
  require_finite(output, state, registry, optimizer_state);
  make_directories(output);
  require_free_space(output, bytes_of_checkpoint(contents, model, registry, optimizer_state),
                     "the checkpoint of step " + std::to_string(state.step));
  AtomicFolder folder(dir);
  if (contents.whole_base) {
    save_hf_model(model, folder.path(), std::nullopt, kMaxShardBytes, HfWeightForm::kPlain);
  }
  if (contents.adapter) {
    save_adapter(model, folder.path(), contents.saved_whole,
                 {state.base_path, state.base_fingerprint});
  }
  if (contents.conv) save_conv_weights(model, folder.path(), state.base_fingerprint);
  write_state_tensors(folder.path() + "/" + kOptimizerFile, optimizer_state);
  write_text_file(folder.path() + "/" + kConfigFile, state.config_yaml);
  write_state(folder.path(), state, trainable_names(registry),
              cache_options_json(model->cache_config()));
  folder.commit();
  remove_older(output, config.keep_last, state.step);
  return dir;
}

std::optional<std::string> newest_good_checkpoint(const std::string& output, CheckpointUse use,
                                                  DamageCheck check) {
  const auto checkpoints = checkpoints_newest_first(output);
  if (checkpoints.empty()) return std::nullopt;
  for (const auto& [step, dir] : checkpoints) {
    const std::string problem = find_damage(dir, use, check);
    if (problem.empty()) return dir;
    log_warn(dir + ": passed over, because " + problem);
  }
  throw UserError(output + ": every checkpoint of this folder is damaged (" +
                  std::to_string(checkpoints.size()) +
                  "); bring one back from a copy, or choose another folder");
}

CheckpointState load_checkpoint(const std::string& dir, Llama& model,
                                const ParameterRegistry& registry,
                                const std::string& base_fingerprint,
                                const std::function<void(const TensorMap&)>& load_state,
                                const std::function<void(const CheckpointState&)>& check) {
  StoredState stored = read_resumable(dir);
  const LayerRange& part = model->range();
  std::erase_if(stored.trainable, [&](const std::string& name) { return part.is_elsewhere(name); });
  if (check) check(stored.state);
  check_base(dir, stored.state.base_fingerprint, base_fingerprint);
  check_same_training(dir, stored, registry, model->cache_config());
  load_parts(dir, {holds_whole_base(dir), has_adapter(dir), has_conv_weights(dir)}, model);
  const SafetensorsFile optimizer_file(dir + "/" + kOptimizerFile);
  TensorMap optimizer_state;
  for (const auto& [name, view] : optimizer_file.tensors())
    if (!part.is_elsewhere(name)) optimizer_state[name] = borrow_tensor(view);
  refuse_non_finite(optimizer_state, [&](const std::string&) { return optimizer_file.path(); });
  load_state(optimizer_state);
  optimizer_file.check_unchanged();
  return stored.state;
}

void load_trained(const std::string& dir, Llama& model, const std::string& base_fingerprint) {
  load_parts(dir, find_parts(dir, base_fingerprint, DamageCheck::kEveryByte), model);
}

void check_trained(const std::string& dir, const TensorMap& parameters, const CacheConfig& cache,
                   const std::string& base_fingerprint) {
  const auto check = holds_whole_base(dir) ? DamageCheck::kSizes : DamageCheck::kEveryByte;
  const Parts parts = find_parts(dir, base_fingerprint, check);
  TensorMap base, conv;
  for (const auto& [name, parameter] : parameters) {
    const ParameterKind kind = kind_of_parameter(name);
    if (is_of_base(kind)) base[name] = parameter;
    if (is_of_policy(kind)) conv[name] = parameter;
  }
  if (parts.whole_base) check_hf_weights(base, dir);
  if (parts.adapter) check_adapter(parameters, dir);
  if (parts.conv && cache.learns()) check_conv_weights(conv, cache, dir);
}

}  // namespace lococo
