// Tasks whose prompts are made of a made novel.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "tasks/task_source.h"
#include "tests/support/chunk_tokenizer.h"
#include "tests/support/made_novel.h"

namespace lococo::testing {

inline const ChunkTokenizer& tokenizer() {
  static const ChunkTokenizer instance;
  return instance;
}
inline const PlainForm& form() {
  static const PlainForm instance(tokenizer());
  return instance;
}
inline const Hay& novel() {
  static const Hay instance = Hay::of_texts({made_novel(6000)});
  return instance;
}

inline EvalTaskConfig config_of(EvalTask task) {
  EvalTaskConfig config;
  config.task = task;
  config.trials = 10;
  return config;
}

inline constexpr int64_t kLength = 1500;

inline std::unique_ptr<TaskSource> source_of(const EvalTaskConfig& config,
                                             int64_t length = kLength) {
  return make_task_source(config, {length}, needs_texts(config) ? &novel() : nullptr, form());
}

inline std::string context_of(const TaskSample& sample) {
  return tokenizer().decode(sample.context_ids);
}
inline std::string question_of(const TaskSample& sample) {
  return tokenizer().decode(sample.question_ids);
}

/// Every task that makes its prompts by drawing.
inline std::vector<EvalTaskConfig> drawn_tasks() {
  std::vector<EvalTaskConfig> tasks = {config_of(EvalTask::kPasskey), config_of(EvalTask::kPasskey),
                                       config_of(EvalTask::kNeedle), config_of(EvalTask::kRuler),
                                       config_of(EvalTask::kManyShot)};
  tasks[1].hay = HayKind::kFiller;
  return tasks;
}

}  // namespace lococo::testing
