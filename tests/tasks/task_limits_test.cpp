// Where what is asked for lies, and what no prompt has room for.
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/user_error.h"
#include "tests/tasks/made_tasks.h"

using namespace lococo;
using namespace lococo::testing;

TEST_CASE("Needles lie at the depths of the grid, in the order of the cells", "[tasks]") {
  EvalTaskConfig config = config_of(EvalTask::kNeedle);
  config.kinds = {"multikey", "words"};
  config.depths = {0, 100};
  config.trials = 2;
  config.distractors = 5;
  const auto source = make_task_source(config, {1000, 1200}, &novel(), form());
  REQUIRE(source->size() == 16);
  CHECK(source->sample(0).kind == "multikey");
  CHECK(source->sample(8).kind == "words");
  CHECK(source->sample(4).length == 1200);
  CHECK(source->sample(2).depth == 100.0);
  CHECK(source->sample(1).trial == 1);
  for (int64_t i = 0; i < 16; ++i) {
    const TaskSample sample = source->sample(i);
    const auto read = static_cast<double>(sample.context_ids.size());
    CHECK(static_cast<double>(sample.fact_end) / read == Approx(sample.depth / 100).margin(0.07));
  }
  // Neither depth nor length changes what is asked.
  CHECK(source->sample(0).answers == source->sample(2).answers);
  CHECK(source->sample(0).answers == source->sample(4).answers);
}

TEST_CASE("A needle keeps its distance to the question", "[tasks]") {
  EvalTaskConfig config = config_of(EvalTask::kNeedle);
  config.distance = 700;
  const auto source = source_of(config);
  for (int64_t i = 0; i < source->size(); ++i) {
    const TaskSample sample = source->sample(i);
    CHECK(static_cast<int64_t>(sample.context_ids.size()) - sample.fact_end >= 700);
  }
}

TEST_CASE("A depth is percent of the text beside a distance too, or refused", "[tasks]") {
  for (const EvalTask task : {EvalTask::kNeedle, EvalTask::kPasskey}) {
    EvalTaskConfig config = config_of(task);
    if (task == EvalTask::kNeedle) config.kinds = {"digits"};
    config.distance = 700;
    config.depths = {0, 20};
    const auto source = source_of(config);
    const auto behind = [](const TaskSample& sample) {
      return static_cast<int64_t>(sample.context_ids.size()) - sample.fact_end;
    };
    for (int64_t i = 0; i < source->size(); ++i) {
      const TaskSample sample = source->sample(i);
      CHECK(behind(sample) >= 700);
      const auto read = static_cast<double>(sample.context_ids.size());
      CHECK(static_cast<double>(sample.fact_end) / read == Approx(sample.depth / 100).margin(0.08));
    }
    config.depths = {90};
    const std::string line = user_error_of([&] { source_of(config)->sample(0); });
    CHECK_CONTAINS(line, "eval.depths: 90 percent of ");
    config.depths = {std::stoll(line.substr(line.find("use depths up to ") + 17))};
    const TaskSample deepest = source_of(config)->sample(1);
    CHECK(behind(deepest) >= 700);
    CHECK(behind(deepest) < 760);  // within one sentence
  }
}

TEST_CASE("A few samples tell of every kind and depth whether prompts have room", "[tasks]") {
  EvalTaskConfig config = config_of(EvalTask::kNeedle);
  config.kinds = {"multikey", "words"};
  config.depths = {0, 100};
  config.trials = 2;
  const auto source = make_task_source(config, {1200, 1000, 1400}, &novel(), form());
  std::vector<std::string> told;
  for (const int64_t index : source->telling_samples()) {
    const TaskSample sample = source->sample(index);
    CHECK(sample.trial == 0);
    told.push_back(sample.kind + " " + std::to_string(sample.length) + " " +
                   std::to_string(static_cast<int64_t>(sample.depth)));
  }
  CHECK(told == std::vector<std::string>{"multikey 1000 0", "multikey 1000 100", "multikey 1400 0",
                                         "words 1000 0", "words 1000 100", "words 1400 0"});
  CHECK(source_of(config)->telling_samples().size() == 4);  // the least length is the greatest
}

TEST_CASE("Too short a length names the task and the least one that works", "[tasks]") {
  for (const EvalTaskConfig& task : drawn_tasks()) {
    const auto cells = source_of(task)->size() / task.trials;
    for (int64_t cell = 0; cell < cells; ++cell) {
      const int64_t first = cell * task.trials;
      const std::string line = user_error_of([&] { source_of(task, 40)->sample(first); });
      const TaskSample longer = source_of(task, 4000)->sample(first);
      INFO(line);
      const std::string kind = longer.kind.empty() ? "" : ", kind " + longer.kind;
      CHECK_CONTAINS(line, "eval.lengths: 40 tokens have no room for a prompt of eval.task " +
                               longer.task + kind + "; use ");
      const int64_t least = std::stoll(line.substr(line.find("use ") + 4));
      const auto make_all = [&](int64_t length) {
        const auto source = source_of(task, length);
        for (int64_t trial = 0; trial < task.trials; ++trial) source->sample(first + trial);
      };
      make_all(least);
      CHECK_CONTAINS(user_error_of([&] { make_all(least - 1); }), "tokens have no room");
    }
  }
}

TEST_CASE("Kinds and lengths that a task does not have are refused", "[tasks]") {
  EvalTaskConfig config = config_of(EvalTask::kNeedle);
  config.kinds = {"digits", "pins"};
  CHECK_CONTAINS(user_error_of([&] { source_of(config); }),
                 "eval.kinds: this task has no 'pins'; it has digits, words, names, paraphrase, "
                 "multikey");
  config.kinds = {"words", "words"};
  CHECK_CONTAINS(user_error_of([&] { source_of(config); }), "'words' stands there twice");
  config = config_of(EvalTask::kPasskey);
  config.kinds = {"digits"};
  CHECK_CONTAINS(user_error_of([&] { source_of(config); }), "this task has no kinds");
  for (const EvalTaskConfig& task : drawn_tasks()) {
    const auto source = source_of(task, 40);
    for (int64_t i = 0; i < source->size(); i += task.trials) {
      CHECK_CONTAINS(user_error_of([&] { source->sample(i); }), "eval.lengths");
    }
  }
}
