// The files of a checkpoint folder and state.json, which tells a complete folder from a damaged
// one.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "weights/checkpoint.h"

namespace lococo {

inline constexpr const char* kStateFile = "state.json";
inline constexpr const char* kConfigFile = "config.yaml";
inline constexpr const char* kOptimizerFile = "optimizer.safetensors";

/// state.json besides its list of files.
struct StoredState {
  CheckpointState state;
  std::set<std::string> trainable;  ///< names of the trained parameters
  std::string cache_json;           ///< cache options, see weights/cache_options.h
};

std::set<std::string> trainable_names(const ParameterRegistry& registry);

/// Writes state.json, the last file of a checkpoint: with the size and checksum of every file that
/// DIR holds by then.
void write_state(const std::string& dir, const CheckpointState& state,
                 const std::set<std::string>& trainable, const std::string& cache_json);

/// Throws UserError when DIR's state.json is missing or malformed.
StoredState read_state(const std::string& dir);

/// Whether DIR has a state.json.
bool is_checkpoint(const std::string& dir);

/// Whether DIR is a checkpoint that holds every weight of the base (tune.all).
bool holds_whole_base(const std::string& dir);

/// Why a checkpoint must not be used ("optimizer.safetensors is 12 bytes long instead of 960");
/// empty when every file that it is read for is there and unharmed.
std::string find_damage(const std::string& dir, CheckpointUse use,
                        DamageCheck check = DamageCheck::kEveryByte);

/// read_state() of a checkpoint to go on from. Throws UserError for a damaged one.
StoredState read_resumable(const std::string& dir, DamageCheck check = DamageCheck::kEveryByte);

/// (step, folder) of OUTPUT's folders that are named step-N and hold a state.json, newest first;
/// empty when there is no such folder as OUTPUT.
std::vector<std::pair<int64_t, std::string>> checkpoints_newest_first(const std::string& output);

}  // namespace lococo
