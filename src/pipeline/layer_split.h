// Which layers each stage of a pipeline holds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"
#include "core/model_shape.h"
#include "model/layer_range.h"

namespace lococo {

/// Tokens that a query of training attends to: a full cache and a block, or on average of a whole
/// sequence or its segments.
double attended_tokens(const Config& config);

/// What the output layer costs, in layers: the multiplications of a token in either. Forward and
/// backward are alike in that.
double head_in_layers(const ModelShape& shape, double attended);

/// Consecutive parts of the model, one for each of `stages`, in their order: of all ways in which
/// each has a layer at least, the one whose slowest stage is the fastest, the last one having
/// `head` layers more to do. stages <= shape.num_layers.
std::vector<LayerRange> split_layers(const ModelShape& shape, int64_t stages, double head);

/// The same with so many layers each, which are all of the model's.
std::vector<LayerRange> layer_ranges(const ModelShape& shape, const std::vector<int64_t>& layers);

/// "layers 0 to 15, 16 to 31 (the output layer counts as 0.65)".
std::string describe_split(const std::vector<LayerRange>& parts, double head);

}  // namespace lococo
