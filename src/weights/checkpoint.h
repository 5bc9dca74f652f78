// Checkpoint folders OUTPUT/step-00000040: everything that a run needs to go on bit for bit, in
// files that other tools read.
//
// - adapter_config.json, adapter_model.safetensors: when LoRA, embedding or norms are tuned (PEFT)
// - lococo_config.json, lococo.safetensors: when the cache policy learns
// - config.json, model.safetensors: when the whole base is tuned (tune.all), unmerged
// - optimizer.safetensors, config.yaml: always
// - state.json: always, with the size and checksum of every other file
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config/cache_config.h"
#include "config/train_config.h"
#include "model/llama.h"
#include "model/registry.h"
#include "tensor/kit/safetensors_tensor.h"
#include "weights/state_to_save.h"

namespace lococo {

struct CheckpointState {
  int64_t step = 0;  ///< optimizer steps done
  int64_t tokens_seen = 0;
  std::string base_fingerprint;
  /// TokenFile::content_fingerprint of each of data.train, then that of the lessons' texts where
  /// there are lessons; empty in checkpoints from before it was written down.
  std::vector<uint64_t> data_fingerprints;
  std::string base_path;  ///< model.path of the run; may be empty
  /// model.adapter of the run; may be empty. What it replaced in the base is written into the
  /// checkpoint too, so that a checkpoint needs only the base.
  std::string adapter_path;
  std::string config_yaml;  ///< the effective config
  std::string git_revision;
  int64_t threads = 0;  ///< CPU threads of one rank: a bit-exact resume needs the same
  int64_t world_size = 1;
};

/// Name of a step's folder inside the output folder: "step-00000040".
std::string checkpoint_name(int64_t step);

/// Which of a run's parameters (all of the whole model) its checkpoints hold.
std::set<std::string> checkpoint_parameters(const CheckpointState& state,
                                            const std::vector<RegisteredParameter>& all);

/// Writes OUTPUT/step-N: to a hidden folder, every file and the folder synced, then renamed; then
/// removes older checkpoints beyond `config.keep_last` (only folders of this naming that hold
/// a state.json, and never the one just written). Returns the folder. Only one rank calls it.
/// Throws UserError when a trained parameter or the optimizer's state is not finite, and when the
/// disk is full or not writable; older checkpoints are then untouched and nothing half-written
/// stays.
std::string save_checkpoint(const std::string& output, const CheckpointConfig& config,
                            const CheckpointState& state, Llama& model,
                            const ParameterRegistry& registry, const StateToSave& optimizer_state);

/// What a checkpoint is read for. Weights alone need no optimizer state: whoever hands a tuned
/// model on may have left it out.
enum class CheckpointUse { kResume, kWeights };

/// How closely a checkpoint's files are looked at: their bytes cost a reading of all of it.
enum class DamageCheck { kSizes, kEveryByte };

/// The checkpoint with the most steps in OUTPUT whose files, as far as `use` needs them, have the
/// size and (kEveryByte) checksum that state.json lists; damaged ones are passed over with a
/// warning line each. nullopt: there is none. Throws UserError where all of them are damaged: a run
/// that began anew beside them would end what they are of.
std::optional<std::string> newest_good_checkpoint(const std::string& output,
                                                  CheckpointUse use = CheckpointUse::kResume,
                                                  DamageCheck check = DamageCheck::kEveryByte);

/// Restores the trained parameters of a checkpoint folder of ours and gives the optimizer's state
/// to `load_state`: tensors on the file's own bytes, which are there during the call only. Throws
/// UserError when the folder is damaged or was made on another base, with another set of trained
/// parameters or with cache options that do not fit. `check` sees what an undamaged folder says of
/// itself before it is compared with anything.
CheckpointState load_checkpoint(const std::string& dir, Llama& model,
                                const ParameterRegistry& registry,
                                const std::string& base_fingerprint,
                                const std::function<void(const TensorMap&)>& load_state,
                                const std::function<void(const CheckpointState&)>& check = {});

/// Loads what was tuned, for evaluation, generation, export or further training: `dir` is a
/// checkpoint folder or an export folder of ours, or a PEFT adapter folder. Adds LoRA to the model
/// as the folder says. `base_fingerprint` is compared where the folder knows its base. Throws
/// UserError.
void load_trained(const std::string& dir, Llama& model, const std::string& base_fingerprint);

/// Throws as load_trained() does for a model with these parameters (on any device, with the LoRA of
/// `dir`) and cache options, as far as names, shapes, sizes and a checkpoint's checksums tell; of a
/// checkpoint with the whole base, which is large, no checksums. `base_fingerprint` may be empty:
/// not known.
void check_trained(const std::string& dir, const TensorMap& parameters, const CacheConfig& cache,
                   const std::string& base_fingerprint);

}  // namespace lococo
