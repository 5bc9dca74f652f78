// What a run is trained on: sequences of data.train, and lessons among them; or records.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "data/dataset.h"
#include "data/mix_cycle.h"
#include "lessons/lesson_source.h"
#include "records/record_rows.h"
#include "tensor/pattern/segments.h"

namespace lococo {

struct TrainingSequence {
  std::vector<int64_t> tokens;             ///< context_length + 1; of records fewer
  std::vector<uint8_t> kinds;              ///< TargetKind of tokens[1..]; empty: not asked for
  std::vector<TokenRange> documents = {};  ///< of the inputs; empty: all are one
};

/// Of the global indices, data.lesson_share are lessons, evenly spread as the sources of a Dataset
/// are; the others are the dataset's sequences in its own order. All of it is a pure function of
/// train.seed and the index.
class TrainingSequences {
 public:
  /// `lessons` may be null where data.lesson_share is 0.
  TrainingSequences(const Config& config, Dataset dataset, std::unique_ptr<LessonSource> lessons);
  /// Records alone, whose rows are made for the config's pass.
  explicit TrainingSequences(std::unique_ptr<RecordRows> records);

  /// May be called from several threads.
  TrainingSequence sequence(int64_t global_index, bool with_kinds) const;

  bool is_lesson(int64_t global_index) const { return turn(global_index).source == kLessons; }
  /// The indices [first, first + count); lessons last where they have a length of their own, so
  /// that micro-batches hold sequences of like length.
  std::vector<int64_t> by_length(int64_t first, int64_t count) const;
  /// Where sequences take a while to make: worth making ahead of time.
  bool has_lessons() const { return lessons_ != nullptr; }
  /// What became of the records; nullopt where none are trained on.
  std::optional<RecordCounts> record_counts() const;

  /// Where a sequence comes from, for messages: "source 0, token 17", "lesson 3",
  /// "a.jsonl:17".
  std::string place(int64_t global_index) const;
  /// Of what sequences are made of: each token file, then the lessons'; each file of
  /// records.
  std::vector<uint64_t> fingerprints() const;

 private:
  static constexpr int64_t kTexts = 0, kLessons = 1;
  MixCycle::Turn turn(int64_t global_index) const;

  uint64_t seed_ = 0;
  int64_t far_ = 0;
  std::optional<Dataset> dataset_;       ///< or
  std::unique_ptr<RecordRows> records_;  ///< these
  std::unique_ptr<LessonSource> lessons_;
  double lesson_share_ = 0.0;
  bool lessons_are_shorter_ = false;
  std::optional<MixCycle> mix_;  ///< where there are both
};

}  // namespace lococo
