#include "config/step_division.h"

#include <algorithm>
#include <vector>

#include "tests/support/catch.h"

using namespace lococo;

namespace {

TrainConfig step_of(int64_t sequences, int64_t micro_batch) {
  TrainConfig train;
  train.sequences_per_step = sequences;
  train.micro_batch = micro_batch;
  return train;
}

/// Of each rank, by dealing one micro-batch after the other.
std::vector<int64_t> dealt(int64_t sequences, int64_t size, int64_t ranks) {
  std::vector<int64_t> counts(static_cast<size_t>(ranks));
  for (int64_t i = 0; i * size < sequences; ++i) ++counts[static_cast<size_t>(i % ranks)];
  return counts;
}

}  // namespace

TEST_CASE("a micro-batch is smaller where the config's would leave ranks idle", "[config]") {
  CHECK(micro_batch_size(step_of(16, 4), 4) == 4);
  CHECK(micro_batch_size(step_of(16, 4), 8) == 2);
  CHECK(micro_batch_size(step_of(5, 4), 2) == 3);
  CHECK(micro_batch_size(step_of(3, 4), 1) == 3);
  CHECK(micro_batch_size(step_of(1, 4), 8) == 1);
}

TEST_CASE("ranks and their micro-batches are counted as these are dealt out", "[config]") {
  for (int64_t sequences = 1; sequences <= 13; ++sequences) {
    for (int64_t micro_batch = 1; micro_batch <= 5; ++micro_batch) {
      for (int64_t ranks = 1; ranks <= 6; ++ranks) {
        const auto train = step_of(sequences, micro_batch);
        const auto counts = dealt(sequences, micro_batch_size(train, ranks), ranks);
        INFO(sequences << " by " << micro_batch << " over " << ranks);
        CHECK(busy_ranks(train, ranks) == ranks - std::ranges::count(counts, 0));
        CHECK(micro_batches_of_rank(train, ranks) == std::ranges::max(counts));
      }
    }
  }
}
