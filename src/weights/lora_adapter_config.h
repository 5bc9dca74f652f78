// adapter_config.json of a PEFT folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lococo {

/// What we use of adapter_config.json.
struct AdapterConfig {
  int64_t rank = 0;  ///< 0: an adapter of ours without LoRA, only tuned embedding or norms
  double alpha = 0.0;
  bool rank_stabilized = false;      ///< use_rslora: scale alpha / sqrt(rank)
  std::vector<std::string> targets;  ///< projections with LoRA, for example q_proj
  std::vector<std::string> modules_to_save;

  /// The alpha that gives the adapter's scale under the plain rule alpha / rank.
  double plain_alpha() const;
};

/// Reads DIR/adapter_config.json. Throws UserError for a missing or malformed file and for every
/// PEFT option that would change the result and is not supported (DoRA, biases, patterns of ranks,
/// ...).
AdapterConfig read_adapter_config(const std::string& dir);

/// Whether DIR holds an adapter_config.json.
bool has_adapter(const std::string& dir);

}  // namespace lococo
