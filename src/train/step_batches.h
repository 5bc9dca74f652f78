// What one rank computes in a step: micro-batches of sequences, made while the step before is
// computed.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <future>
#include <vector>

#include "config/config.h"
#include "pass/batch.h"
#include "train/training_sequences.h"

namespace lococo {

/// Sequences of one forward pass.
struct MicroBatch {
  int64_t first_index = 0;  ///< global, of the first of them
  std::vector<TrainingSequence> sequences;

  int64_t num_tokens() const;
};

/// Step s has the sequences with global indices s * sequences_per_step ...; whole micro-batches are
/// dealt out over the ranks, so that a rank computes what one rank alone would: only the order of
/// the sum differs.
class StepBatches {
 public:
  /// `sequences` must live as long.
  StepBatches(const Config& config, const TrainingSequences& sequences, int64_t rank, int64_t ranks,
              bool with_kinds);

  /// Those of this rank. Steps are taken in their order; what takes a while to make is made ahead.
  std::vector<MicroBatch> take(int64_t step);

  /// Rows of records have all lengths: in whole sequences they are rounded up, because libraries
  /// prepare themselves for each length.
  Batch batch_of(const MicroBatch& micro_batch, torch::Device device) const;

 private:
  std::vector<MicroBatch> make(int64_t step) const;

  const TrainingSequences& sequences_;
  int64_t rank_, ranks_, steps_, sequences_per_step_, micro_batch_, context_length_;
  int64_t length_step_;
  bool with_kinds_, takes_a_while_;
  std::future<std::vector<MicroBatch>> next_;
};

}  // namespace lococo
