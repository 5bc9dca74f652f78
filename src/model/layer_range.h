// Consecutive layers of a model, and what comes with the first and the last of them: the part of a
// model that one process holds.
#pragma once

#include <cstdint>
#include <string>

#include "core/model_shape.h"

namespace lococo {

struct LayerRange {
  int64_t begin = 0;  ///< layers [begin, end)
  int64_t end = 0;
  int64_t all = 0;    ///< layers of the whole model
  bool tied = false;  ///< the output layer is the embedding

  int64_t count() const { return end - begin; }
  bool is_whole() const { return begins_model() && ends_model(); }
  /// The embedding belongs to it: tokens go in, else hidden states.
  bool begins_model() const { return begin == 0; }
  /// The last norm and the output layer belong to it.
  bool ends_model() const { return end == all; }

  /// Whether a parameter of that registered name is of another part: its layers, or what stands
  /// before and after all layers. A tied embedding is of the first part and the last. Names that no
  /// part has are of none; what follows a name (an optimizer's "NAME.m") does not matter.
  bool is_elsewhere(const std::string& parameter) const;

  bool operator==(const LayerRange&) const = default;
};

/// All layers of a model.
LayerRange all_layers(const ModelShape& shape);

}  // namespace lococo
