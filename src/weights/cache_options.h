// Cache options as JSON, in our names and in the official code's, and what differs between two
// sets.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "config/cache_config.h"

namespace lococo {

/// The policy's name in the YAML section `cache`.
std::string policy_name(const CacheConfig& cache);

/// The cache options as the text of one JSON object, keys as in the YAML section `cache`.
std::string cache_options_json(const CacheConfig& cache);

/// The first option of such a text that differs from `cache` and changes what trained weights mean,
/// for example "cache.keys is \"rotated\" there and \"unrotated\" here"; empty when there is none.
/// Absent options count as equal (score_decay, score_distance, normalizer_per_head,
/// normalizer_range, mass_channel and mix_keys as their defaults: older files lack them), unknown
/// ones are ignored. Throws UserError for other text.
std::string cache_difference(const std::string& options_json, const CacheConfig& cache);

/// Whether `cache` mixes beside gates that were taught without it: then the convolutions are new.
bool begins_mixing(const std::string& options_json, const CacheConfig& cache);

/// The same for options that weights survive: block, buffer and normalizer_range.
std::string harmless_cache_difference(const std::string& options_json, const CacheConfig& cache);

/// Takes the options of such a text into `cache`, all but those whose name (such as "slots") is in
/// `given` and those that only say how a run trains (boundary_targets, first_block_gradient,
/// bptt_blocks, distill). Returns what changed, as "cache.slots 128". Unknown options are ignored.
/// Throws UserError beginning with `path` for values that no config may have.
std::vector<std::string> adopt_cache_options(const std::string& options_json,
                                             const std::string& path,
                                             const std::set<std::string>& given,
                                             CacheConfig* cache);

/// The arguments of the official training script that mean these options (mem_size, hh_keep_rate,
/// ...). Throws UserError naming the first option that the official code does not know.
std::string official_arguments_json(const CacheConfig& cache);

/// Such arguments as options of ours; `path` stands in for the file in messages.
std::string options_of_official_arguments(const std::string& arguments_json,
                                          const std::string& path);

}  // namespace lococo
