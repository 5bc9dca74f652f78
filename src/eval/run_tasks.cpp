#include "eval/run_tasks.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>

#include "core/elapsed.h"
#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/log.h"
#include "eval/model_answerer.h"
#include "eval/sample_file.h"
#include "eval/sample_stream.h"
#include "eval/task_prompts.h"
#include "eval/task_report.h"
#include "generate/generation_setup.h"
#include "report/task_progress.h"
#include "setup/model_positions.h"
#include "setup/same_run.h"
#include "tensor/kit/memory_stats.h"

namespace lococo {
namespace {

/// Answers of one window of samples, in their order.
using AnswerAll = std::function<std::vector<TaskAnswer>(const std::vector<TaskSample>&)>;

AnswerAll one_by_one(TaskAnswer (*answer)(const TaskSample&)) {
  return [answer](const std::vector<TaskSample>& samples) {
    std::vector<TaskAnswer> answers;
    for (const TaskSample& sample : samples) answers.push_back(answer(sample));
    return answers;
  };
}

/// In batches of prompts of nearly one length, whose blocks are read together.
std::vector<TaskAnswer> answer_in_batches(ModelAnswerer& answerer, size_t batch,
                                          const std::vector<TaskSample>& samples) {
  std::vector<size_t> order(samples.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return samples[a].context_ids.size() > samples[b].context_ids.size();
  });
  std::vector<TaskAnswer> answers(samples.size());
  for (size_t first = 0; first < order.size(); first += batch) {
    const size_t end = std::min(first + batch, order.size());
    std::vector<const TaskSample*> some;
    for (size_t i = first; i < end; ++i) some.push_back(&samples[order[i]]);
    auto made = answerer.answer(some);
    for (size_t i = first; i < end; ++i) answers[order[i]] = std::move(made[i - first]);
  }
  return answers;
}

/// Files of questions have prompts of any length: the first too long one is told.
void warn_once_beyond_positions(const Config& config, const ModelShape& shape,
                                const std::vector<TaskSample>& samples, bool& warned) {
  const auto known = known_positions(config, shape);
  for (const TaskSample& sample : samples) {
    const int64_t tokens = sample.num_tokens() + sample.max_new_tokens;
    if (warned || !known || tokens <= *known) continue;
    warn_beyond_positions(config, shape, tokens, "a question");
    warned = true;
  }
}

/// What answers: the model, which is loaded for it, or a test of the task.
AnswerAll make_answerer(const Config& config, const Session& session, const Tokenizer& tokenizer,
                        const TaskPrompts& prompts) {
  switch (config.eval.task.answerer) {
    case Answerer::kOracle:
      return one_by_one(oracle_answer);
    case Answerer::kRandom:
      return one_by_one(random_answer);
    case Answerer::kModel:
      break;
  }
  auto prepared = load_model(config, session);
  check_same_files(prepared.base_fingerprint, "model.path", {}, *session.communicator);
  const ModelShape& shape = prepared.model->shape();
  log_info(describe_generation(config, prepared.model->cache_config()));
  const auto batch = static_cast<size_t>(config.eval.batch);
  auto answerer = std::make_shared<ModelAnswerer>(
      prepared.model, tokenizer, config.eval.batch,
      end_tokens(config, &tokenizer, shape, prompts.end_tokens()), prompts.stop_texts(),
      config.train.cuda_graphs, make_stage_line(session.pipeline.get()));
  auto warned = std::make_shared<bool>(false);
  return [answerer, batch, warned, &config, shape](const std::vector<TaskSample>& samples) {
    warn_once_beyond_positions(config, shape, samples, *warned);
    return answer_in_batches(*answerer, batch, samples);
  };
}

/// Stages that answer other questions would wait for each other for ever.
void check_same_questions(const std::vector<TaskSample>& samples, Communicator& stages) {
  if (stages.size() == 1) return;
  uint64_t hash = samples.size();
  for (const TaskSample& sample : samples) {
    for (const auto* ids : {&sample.context_ids, &sample.question_ids}) {
      for (const int32_t id : *ids) hash = hash_u64(hash, static_cast<uint64_t>(id));
      hash = hash_u64(hash, ids->size());
    }
    for (const auto& ids : sample.option_ids) {
      for (const int32_t id : ids) hash = hash_u64(hash, static_cast<uint64_t>(id));
      hash = hash_u64(hash, ids.size());
    }
    hash = hash_u64(hash, static_cast<uint64_t>(sample.max_new_tokens),
                    static_cast<uint64_t>(sample.scoring));
  }
  check_same_files("", "eval.task", {hash}, stages);
}

TaskResults ask_all(const Config& config, const Session& session, const TaskPrompts& prompts,
                    MadeSamples made, const AnswerAll& answer_all) {
  constexpr int64_t kBatchesOfWindow = 4;
  const auto started = steady_now();
  SampleStream stream([&] { return prompts.make_source(); }, session.threads,
                      kBatchesOfWindow * config.eval.batch, std::move(made));
  Communicator& stages = *session.communicator;
  TaskProgress progress("asking", "questions", stream.size(), stages.is_main());
  SampleFile file(stages.is_main() ? config.eval.task.samples : "");
  TaskResults results;
  for (;;) {
    std::vector<TaskSample> samples;
    run_alike(stages, [&] { samples = stream.next(); });
    check_same_questions(samples, stages);
    if (samples.empty()) break;
    std::vector<TaskAnswer> answers;
    run_alike(stages, [&] { answers = answer_all(samples); });
    for (size_t i = 0; i < samples.size(); ++i) {
      const auto scores = scores_of(samples[i], answers[i]);
      results.add(samples[i], scores);
      file.write(samples[i], answers[i], scores);
    }
    progress.update(results.questions);
  }
  file.close();
  results.seconds = seconds_since(started);
  results.peak_memory_bytes = stages.all_reduce_max_int(peak_memory_bytes(session.device));
  return results;
}

std::unique_ptr<Tokenizer> tokenizer_of(const Config& config) {
  auto tokenizer = open_tokenizer(config, effective_shape(config).vocab_size);
  if (!tokenizer)
    throw UserError(std::string("data.tokenizer: a task needs one; ") + kWithoutTokenizer);
  return tokenizer;
}

/// What asks: made, and looked at, before the model is loaded.
struct Questions {
  explicit Questions(const Config& config)
      : tokenizer(tokenizer_of(config)),
        prompts(config, *tokenizer),
        made(prompts.checked_samples()) {}

  std::unique_ptr<Tokenizer> tokenizer;
  TaskPrompts prompts;
  MadeSamples made;  ///< not to be made again
};

}  // namespace

void check_tasks(const Config& config) { const Questions questions(config); }

int run_tasks(const Config& config, const Session& session) {
  Communicator& stages = *session.communicator;
  std::optional<Questions> questions;
  run_alike(stages, [&] {
    check_undivided(session, "eval.task: questions are asked");
    questions.emplace(config);
  });
  const TaskPrompts& prompts = questions->prompts;
  const auto answer_all = make_answerer(config, session, *questions->tokenizer, prompts);
  const auto results = ask_all(config, session, prompts, std::move(questions->made), answer_all);
  if (!stages.is_main()) return 0;
  std::fputs(task_table(results).c_str(), stdout);
  if (!config.eval.output.empty()) {
    write_text_file(config.eval.output, task_json(config, results));
    log_info("wrote " + config.eval.output);
  }
  if (!config.eval.task.samples.empty()) log_info("wrote " + config.eval.task.samples);
  return 0;
}

}  // namespace lococo
