// What a run is trained on: sequences of data.train, and lessons among them.
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

namespace lococo {

struct TrainingSequence {
  std::vector<int64_t> tokens;  ///< context_length + 1
  std::vector<uint8_t> kinds;   ///< context_length: TargetKind of tokens[1..]; empty: not asked for
};

/// Of the global indices, data.lesson_share are lessons, evenly spread as the sources of a Dataset
/// are; the others are the dataset's sequences in its own order. All of it is a pure function of
/// train.seed and the index.
class TrainingSequences {
 public:
  /// `lessons` may be null where data.lesson_share is 0.
  TrainingSequences(const Config& config, Dataset dataset, std::unique_ptr<LessonSource> lessons);

  /// May be called from several threads.
  TrainingSequence sequence(int64_t global_index, bool with_kinds) const;

  bool is_lesson(int64_t global_index) const { return turn(global_index).source == kLessons; }
  /// Where sequences take a while to make: worth making ahead of time.
  bool has_lessons() const { return lessons_ != nullptr; }

  /// Where a sequence comes from, for messages: "source 0, token 17", "lesson 3".
  std::string place(int64_t global_index) const;
  /// Of what sequences are made of: each token file, then the lessons'.
  std::vector<uint64_t> fingerprints() const;

 private:
  static constexpr int64_t kTexts = 0, kLessons = 1;
  MixCycle::Turn turn(int64_t global_index) const;

  uint64_t seed_;
  int64_t far_;
  Dataset dataset_;
  std::unique_ptr<LessonSource> lessons_;
  double lesson_share_;
  std::optional<MixCycle> mix_;  ///< where there are both
};

}  // namespace lococo
