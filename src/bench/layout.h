// How the ranks of a measurement are divided.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"

namespace lococo {

struct Layout {
  int64_t replicas = 1;
  int64_t stages = 1;

  int64_t ranks() const { return replicas * stages; }
  std::string name() const;  ///< "4x2"

  bool operator==(const Layout&) const = default;
};

/// Those of bench.layouts, each once, one rank alone first: what the others are compared with.
/// Where none is named: that, and all `ranks` as replicas. Throws UserError for what is no layout,
/// and for one of more ranks than there are.
std::vector<Layout> layouts_of(const BenchConfig& bench, int64_t ranks);

/// `config` with distributed.pipeline as `layout` says. Throws UserError where it does not go with
/// the rest of the config.
Config config_of(const Config& config, const Layout& layout);

}  // namespace lococo
