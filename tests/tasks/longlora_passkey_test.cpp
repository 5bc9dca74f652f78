// LongLoRA's prompts against figures that its code gives.
#include "tasks/longlora_passkey.h"

#include "tests/support/catch.h"
#include "tests/support/chunk_tokenizer.h"
#include "tests/support/user_error.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("LongLoRA's lengths have the characters of its code", "[tasks]") {
  const std::vector<std::pair<int64_t, int64_t>> known = {{1, 3072},  {2, 7168},   {3, 10240},
                                                          {8, 29696}, {16, 59392}, {32, 119808}};
  for (const auto& [thousands, characters] : known)
    CHECK(longlora_filler_characters(1000 * thousands) == characters);
}

TEST_CASE("LongLoRA's places and keys are those of its seeds", "[tasks]") {
  const std::vector<std::pair<int64_t, int64_t>> known = {
      {2732, 43568}, {1061, 33004}, {2575, 6638}, {1898, 1689}};
  for (size_t seed = 0; seed < known.size(); ++seed) {
    const auto drawn = longlora_passkey(static_cast<int64_t>(seed), 3072);
    CHECK(drawn.before == known[seed].first);
    CHECK(drawn.key == known[seed].second);
  }
}

TEST_CASE("LongLoRA's prompt is its five lines", "[tasks]") {
  const ChunkTokenizer tokenizer;
  const PlainForm form(tokenizer);
  EvalTaskConfig task;
  task.task = EvalTask::kPasskey;
  task.hay = HayKind::kLongLora;
  task.trials = 10;
  CHECK_FALSE(needs_texts(task));
  const auto source = make_task_source(task, {1000}, nullptr, form);
  REQUIRE(source->size() == 10);
  const auto sample = source->sample(0);
  const std::string context = tokenizer.decode(sample.context_ids);
  CHECK(context.starts_with("There is an important info hidden inside a lot of irrelevant text."));
  const std::string fact = "\nThe pass key is 43568. Remember it. 43568 is the pass key.\n";
  const size_t at = context.find(fact);
  REQUIRE(at != std::string::npos);
  const size_t first = context.find('\n') + 1;
  CHECK(at - first == 2732);
  CHECK(context.substr(at + fact.size(), 19) == "The grass is green.");
  CHECK(context.size() >= first + 3072 + fact.size());
  CHECK(tokenizer.decode(sample.question_ids).ends_with("What is the pass key? The pass key is"));
  CHECK(sample.answers == std::vector<std::string>{"43568"});
  CHECK(source->sample(1).answers == std::vector<std::string>{"33004"});
}

TEST_CASE("LongLoRA's code has so much filler and no more", "[tasks]") {
  const ChunkTokenizer tokenizer;
  const PlainForm form(tokenizer);
  EvalTaskConfig task;
  task.task = EvalTask::kPasskey;
  task.hay = HayKind::kLongLora;
  for (const int64_t length : {100, 131072})
    CHECK_CONTAINS(user_error_of([&] { make_task_source(task, {length}, nullptr, form); }),
                   "eval.hay: filler");
  CHECK_NOTHROW(make_task_source(task, {274, 120149}, nullptr, form));
}
