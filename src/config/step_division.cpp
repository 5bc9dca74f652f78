#include "config/step_division.h"

#include <algorithm>

namespace lococo {
namespace {

int64_t divided_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Of a step, for all ranks.
int64_t micro_batches(const TrainConfig& train, int64_t ranks) {
  return divided_up(train.sequences_per_step, micro_batch_size(train, ranks));
}

}  // namespace

int64_t micro_batch_size(const TrainConfig& train, int64_t ranks) {
  return std::min(train.micro_batch, divided_up(train.sequences_per_step, ranks));
}

int64_t busy_ranks(const TrainConfig& train, int64_t ranks) {
  return std::min(ranks, micro_batches(train, ranks));
}

int64_t micro_batches_of_rank(const TrainConfig& train, int64_t ranks) {
  return divided_up(micro_batches(train, ranks), ranks);
}

}  // namespace lococo
