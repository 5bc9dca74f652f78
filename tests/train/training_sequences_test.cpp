#include "train/training_sequences.h"

#include <algorithm>
#include <cstdlib>

#include "core/target_kind.h"
#include "data/prepare.h"
#include "lessons/open_lessons.h"
#include "lessons/text_kinds.h"
#include "tests/support/catch.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_run.h"
#include "tests/support/tiny_tokenizer.h"

using namespace lococo;
using namespace lococo::testing;

namespace {

struct SequencePlace {
  TemporaryFolder folder;
  Config config = tiny_lesson_config(folder.path());
  std::shared_ptr<const Tokenizer> tokenizer = load_tokenizer(config.data.tokenizer);

  Dataset dataset() const {
    return open_dataset(config.data.train, config.data, tokenizer.get(), kByteVocabulary);
  }
  TrainingSequences sequences(double share) {
    config.data.lesson_share = share;
    return {config, dataset(), open_lessons(config, tokenizer)};
  }
};

bool has_answers(const TrainingSequence& sequence) {
  const auto answer = static_cast<uint8_t>(TargetKind::kAnswer);
  return std::count(sequence.kinds.begin(), sequence.kinds.end(), answer) > 0;
}

}  // namespace

TEST_CASE("lessons are spread evenly among the dataset's own sequences", "[train]") {
  SequencePlace place;
  const auto sequences = place.sequences(0.25);
  const auto dataset = place.dataset();
  CHECK(sequences.has_lessons());
  int64_t lessons = 0, texts = 0;
  for (int64_t i = 0; i < 400; ++i) {
    (sequences.is_lesson(i) ? lessons : texts) += 1;
    CHECK(std::abs(4 * lessons - (i + 1)) <= 4);
  }
  CHECK(lessons == 100);
  lessons = texts = 0;
  for (int64_t i = 0; i < 8; ++i) {
    const auto sequence = sequences.sequence(i, /*with_kinds=*/true);
    CHECK(has_answers(sequence) == sequences.is_lesson(i));
    if (sequences.is_lesson(i)) {
      CHECK(sequences.place(i) == "lesson " + std::to_string(lessons++));
      continue;
    }
    const auto text = dataset.sequence(place.config.train.seed, texts++);
    CHECK(sequence.tokens == text.tokens);
    CHECK(sequence.kinds == text_kinds(text.tokens, place.config.data.far));
    CHECK(sequences.place(i) == "source 0, token " + std::to_string(text.begin));
  }
}

TEST_CASE("sequences without lessons are the dataset's, and all may be lessons", "[train]") {
  SequencePlace place;
  const auto texts = place.sequences(0.0);
  const auto dataset = place.dataset();
  CHECK_FALSE(texts.has_lessons());
  CHECK(texts.fingerprints() == std::vector<uint64_t>{dataset.file(0).content_fingerprint()});
  for (int64_t i = 0; i < 5; ++i) {
    const auto sequence = texts.sequence(i, /*with_kinds=*/false);
    CHECK(sequence.tokens == dataset.sequence(place.config.train.seed, i).tokens);
    CHECK(sequence.kinds.empty());
  }
  const auto lessons = place.sequences(1.0);
  CHECK(lessons.fingerprints().size() == 2);
  for (int64_t i = 0; i < 5; ++i) {
    CHECK(lessons.is_lesson(i));
    CHECK(has_answers(lessons.sequence(i, /*with_kinds=*/true)));
    CHECK(lessons.sequence(i, /*with_kinds=*/false).kinds.empty());
  }
}

TEST_CASE("shorter lessons stand together at the end of a step", "[train]") {
  SequencePlace place;
  const auto equal = place.sequences(0.5);
  CHECK(equal.by_length(4, 3) == std::vector<int64_t>{4, 5, 6});
  place.config.data.lesson_length = place.config.data.context_length;
  place.config.data.context_length += 300;
  const auto sequences = place.sequences(0.5);
  for (const int64_t first : {0, 5}) {
    const auto order = sequences.by_length(first, 5);
    REQUIRE(order.size() == 5);
    auto sorted = order;
    std::sort(sorted.begin(), sorted.end());
    for (int64_t i = 0; i < 5; ++i) CHECK(sorted[static_cast<size_t>(i)] == first + i);
    CHECK(std::is_sorted(order.begin(), order.end(), [&](int64_t a, int64_t b) {
      return sequences.is_lesson(a) < sequences.is_lesson(b) ||
             (sequences.is_lesson(a) == sequences.is_lesson(b) && a < b);
    }));
    for (const int64_t index : order) {
      const auto sequence = sequences.sequence(index, /*with_kinds=*/true);
      const auto& data = place.config.data;
      const int64_t length = sequences.is_lesson(index) ? data.lesson_length : data.context_length;
      CHECK(static_cast<int64_t>(sequence.tokens.size()) == length + 1);
      CHECK(sequence.kinds.size() + 1 == sequence.tokens.size());
    }
  }
}
