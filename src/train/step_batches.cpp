#include "train/step_batches.h"

#include <algorithm>

#include "config/step_division.h"
#include "train/micro_batch.h"

namespace lococo {

int64_t MicroBatch::num_tokens() const {
  int64_t tokens = 0;
  for (const auto& sequence : sequences) tokens += static_cast<int64_t>(sequence.tokens.size()) - 1;
  return tokens;
}

StepBatches::StepBatches(const Config& config, const TrainingSequences& sequences, int64_t rank,
                         int64_t ranks, bool with_kinds)
    : sequences_(sequences),
      rank_(rank),
      ranks_(ranks),
      steps_(config.train.steps),
      sequences_per_step_(config.train.sequences_per_step),
      micro_batch_(micro_batch_size(config.train, ranks)),
      context_length_(config.data.context_length),
      length_step_(sequences.record_counts() && !is_blockwise(config) ? 64 : 1),
      with_kinds_(with_kinds),
      takes_a_while_(with_kinds || sequences.has_lessons()) {}

std::vector<MicroBatch> StepBatches::make(int64_t step) const {
  const auto order = sequences_.by_length(step * sequences_per_step_, sequences_per_step_);
  std::vector<MicroBatch> made;
  for (int64_t first = rank_ * micro_batch_; first < sequences_per_step_;
       first += ranks_ * micro_batch_) {
    MicroBatch micro_batch = {order[static_cast<size_t>(first)], {}};
    for (int64_t i = first; i < std::min(first + micro_batch_, sequences_per_step_); ++i)
      micro_batch.sequences.push_back(
          sequences_.sequence(order[static_cast<size_t>(i)], with_kinds_));
    made.push_back(std::move(micro_batch));
  }
  return made;
}

std::vector<MicroBatch> StepBatches::take(int64_t step) {
  auto batches = next_.valid() ? next_.get() : make(step);
  if (takes_a_while_ && step + 1 < steps_)
    next_ = std::async(std::launch::async, [this, step] { return make(step + 1); });
  return batches;
}

Batch StepBatches::batch_of(const MicroBatch& micro_batch_given, torch::Device device) const {
  const auto& rows = micro_batch_given.sequences;
  return micro_batch(rows, padded_length(rows, length_step_, context_length_), device);
}

}  // namespace lococo
