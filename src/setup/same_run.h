// Whether the ranks of a run were given the same: a launcher starts whatever it is told to, and
// ranks that differ would train into one result without a word, or wait for each other for ever.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"
#include "dist/communicator.h"

namespace lococo {

/// Collective. Throws UserError on a rank whose config is not the main rank's, with the first key
/// that differs. Where a host keeps its token files (data.cache_dir) is its own affair. Of
/// model.adapter it says why: every process looks for the newest checkpoint of a run folder by
/// itself (setup/complete_config.h).
void check_same_config(const Config& config, Communicator& communicator);

/// Collective. The same of what was read: the base's fingerprint (empty: a random one) and those of
/// the token files or records behind `key` (data.train, data.validation).
void check_same_files(const std::string& base_fingerprint, const std::string& key,
                      const std::vector<uint64_t>& fingerprints, Communicator& communicator);

/// Collective. Throws UserError where a rank sees no checkpoint at `folder`, or another than the
/// main rank, which tells it: hosts need not share a disk, but the run goes on from one checkpoint.
void check_same_checkpoint(const std::string& folder, Communicator& communicator);

/// The first line of `here` that `there` has not at its place, both YAML as config_to_yaml() writes
/// it: "train.seed: 2 instead of 1"; empty when they are equal.
std::string first_difference(const std::string& here, const std::string& there);

}  // namespace lococo
