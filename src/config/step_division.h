// How many micro-batches a step's sequences make, and who gets them.
#pragma once

#include <cstdint>

#include "config/train_config.h"

namespace lococo {

// `ranks`: those that share the sequences; of a pipeline its replicas. Whole micro-batches are
// dealt out.

/// Sequences of a micro-batch, smaller than the config's where that would leave ranks idle.
int64_t micro_batch_size(const TrainConfig& train, int64_t ranks);

/// How many of the ranks get any.
int64_t busy_ranks(const TrainConfig& train, int64_t ranks);

/// The most micro-batches of a step that one of them gets.
int64_t micro_batches_of_rank(const TrainConfig& train, int64_t ranks);

}  // namespace lococo
