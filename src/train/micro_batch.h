// Sequences of a run as one batch of tensors.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <span>

#include "pass/batch.h"
#include "train/training_sequences.h"

namespace lococo {

/// Inputs of a batch's rows, T: as many as the longest sequence has, rounded up to a multiple of
/// `step` where `most` leaves room for it.
int64_t padded_length(std::span<const TrainingSequence> sequences, int64_t step, int64_t most);

/// The sequences as rows of T inputs on `device`. What is padded, on the right, is ignored.
Batch micro_batch(std::span<const TrainingSequence> sequences, int64_t T, torch::Device device);

}  // namespace lococo
