#include "train/training_sequences.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "lessons/text_kinds.h"

namespace lococo {

TrainingSequences::TrainingSequences(const Config& config, Dataset dataset,
                                     std::unique_ptr<LessonSource> lessons)
    : seed_(config.train.seed),
      far_(config.data.far),
      dataset_(std::move(dataset)),
      lessons_(std::move(lessons)),
      lesson_share_(config.data.lesson_share),
      lessons_are_shorter_(config.data.lesson_length > 0) {
  if ((lesson_share_ > 0.0) != (lessons_ != nullptr))
    throw std::logic_error("lessons are there when some of the sequences are lessons");
  if (lesson_share_ > 0.0 && lesson_share_ < 1.0)
    mix_.emplace(std::vector<double>{1.0 - lesson_share_, lesson_share_});
}

TrainingSequences::TrainingSequences(std::unique_ptr<RecordRows> records)
    : records_(std::move(records)) {}

MixCycle::Turn TrainingSequences::turn(int64_t global_index) const {
  if (mix_) return mix_->turn(global_index);
  return {lessons_ ? kLessons : kTexts, global_index};
}

std::vector<int64_t> TrainingSequences::by_length(int64_t first, int64_t count) const {
  std::vector<int64_t> indices(static_cast<size_t>(count));
  std::iota(indices.begin(), indices.end(), first);
  if (lessons_are_shorter_) {
    std::stable_partition(indices.begin(), indices.end(),
                          [this](int64_t index) { return !is_lesson(index); });
  }
  return indices;
}

TrainingSequence TrainingSequences::sequence(int64_t global_index, bool with_kinds) const {
  TrainingSequence sequence;
  if (records_) {
    RecordRow row = records_->row(global_index);
    sequence.tokens = std::move(row.tokens);
    sequence.kinds = std::move(row.kinds);
    for (const TokenSpan& span : row.documents)
      sequence.documents.push_back({span.begin, span.end});
    return sequence;
  }
  const MixCycle::Turn here = turn(global_index);
  if (here.source == kLessons) {
    Lesson lesson = lessons_->lesson(seed_, here.index);
    sequence.tokens = std::move(lesson.tokens);
    if (with_kinds) sequence.kinds = std::move(lesson.kinds);
    return sequence;
  }
  sequence.tokens = dataset_->sequence(seed_, here.index).tokens;
  if (with_kinds) sequence.kinds = text_kinds(sequence.tokens, far_);
  return sequence;
}

std::string TrainingSequences::place(int64_t global_index) const {
  if (records_) return records_->place(global_index);
  const MixCycle::Turn here = turn(global_index);
  if (here.source == kLessons) return "lesson " + std::to_string(here.index);
  const Sequence sequence = dataset_->sequence(seed_, here.index);
  return "source " + std::to_string(sequence.source) + ", token " + std::to_string(sequence.begin);
}

std::optional<RecordCounts> TrainingSequences::record_counts() const {
  if (!records_) return std::nullopt;
  return records_->counts();
}

std::vector<uint64_t> TrainingSequences::fingerprints() const {
  if (records_) return records_->fingerprints();
  std::vector<uint64_t> fingerprints;
  for (int64_t i = 0; i < dataset_->num_sources(); ++i)
    fingerprints.push_back(dataset_->file(i).content_fingerprint());
  if (lessons_) fingerprints.push_back(lessons_->fingerprint());
  return fingerprints;
}

}  // namespace lococo
