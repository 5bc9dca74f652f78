#include "eval/run_evaluation.h"

#include <algorithm>
#include <cstdio>
#include <optional>

#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/output_file.h"
#include "data/prepare.h"
#include "eval/evaluation_report.h"
#include "eval/evaluator.h"
#include "eval/per_token_file.h"
#include "eval/record_evaluator.h"
#include "eval/record_report.h"
#include "eval/run_tasks.h"
#include "setup/check_inputs.h"
#include "setup/model_positions.h"
#include "setup/same_run.h"
#include "setup/session.h"
#include "setup/training_sources.h"

namespace lococo {
namespace {

/// Training options have no say in an evaluation: nothing is trained, everything has the compute
/// dtype.
Config evaluation_config(Config config) {
  const TuneConfig nothing;
  config.tune = nothing;
  return config;
}

bool asks_questions(const EvalConfig& eval) { return eval.task.task != EvalTask::kPerplexity; }

std::vector<uint64_t> fingerprints_of(const std::vector<std::shared_ptr<const TokenFile>>& files) {
  std::vector<uint64_t> fingerprints;
  for (const auto& file : files) fingerprints.push_back(file->content_fingerprint());
  return fingerprints;
}

int evaluate_on_this_rank(const Config& config, Session& session) {
  const auto files = open_validation_data(config, session, effective_shape(config).vocab_size);
  std::optional<Evaluator> evaluator;
  run_alike(*session.communicator, [&] { evaluator.emplace(config, files); });
  auto prepared = load_model(config, session);
  if (session.communicator->size() > 1) {  // of raw tokens a fingerprint takes the whole file
    check_same_files(prepared.base_fingerprint, "data.validation", fingerprints_of(files),
                     *session.communicator);
  }
  warn_beyond_positions(config, prepared.model->shape(), std::ranges::max(config.eval.lengths),
                        "eval.lengths");
  const auto results = evaluator->evaluate(prepared.model, session.device, *session.communicator,
                                           session.pipeline.get());
  const std::string problem = non_finite_problem(results);
  run_alike(*session.communicator, [&] {
    if (!problem.empty()) throw UserError(problem);
  });
  if (!session.communicator->is_main()) return 0;
  std::fputs(results_table(results).c_str(), stdout);
  if (!config.eval.output.empty()) {
    write_text_file(config.eval.output, results_json(config, results));
    log_info("wrote " + config.eval.output);
  }
  if (!config.eval.per_token.empty()) {
    write_per_token(config.eval.per_token, results);
    log_info("wrote " + config.eval.per_token);
  }
  return 0;
}

int evaluate_records_on_this_rank(const Config& config, Session& session) {
  auto sets = open_validation_records(config, effective_shape(config).vocab_size);
  auto prepared = load_model(config, session);
  std::vector<uint64_t> fingerprints;
  for (const RecordSet& set : sets) fingerprints.push_back(set.fingerprint());
  check_same_files(prepared.base_fingerprint, "data.validation_records", fingerprints,
                   *session.communicator);
  const RecordEvaluator evaluator(config, std::move(sets));
  const auto results = evaluator.evaluate(prepared.model, session.device, *session.communicator,
                                          session.pipeline.get());
  const std::string problem = non_finite_record(results);
  run_alike(*session.communicator, [&] {
    if (!problem.empty()) throw UserError(problem);
  });
  if (!session.communicator->is_main()) return 0;
  std::fputs(records_table(results).c_str(), stdout);
  if (!config.eval.output.empty()) {
    write_text_file(config.eval.output, records_json(config, results));
    log_info("wrote " + config.eval.output);
  }
  return 0;
}

void check_evaluation_outputs(const EvalConfig& eval) {
  check_per_token_name(eval.per_token);
  check_output_file(eval.output, "eval.output", eval.overwrite);
  check_output_file(eval.per_token, "eval.per_token", eval.overwrite);
  check_output_file(eval.task.samples, "eval.samples", eval.overwrite);
}

}  // namespace

void check_evaluated_lengths(const Config& config) {
  const DataConfig& data = config.data;
  const int64_t vocab_size = effective_shape(config).vocab_size;
  const auto tokenizer = open_tokenizer(config, vocab_size);
  if (!are_prepared(data.validation, data, tokenizer.get())) return;
  const Evaluator with_segments(config,
                                open_sources(data.validation, data, tokenizer.get(), vocab_size));
}

void check_evaluation(const Config& given) {
  const auto config = evaluation_config(given);
  check_evaluation_outputs(config.eval);
  check_inputs(config);
  if (asks_questions(config.eval)) return check_tasks(config);
  check_evaluation_sources(config);
  if (config.data.validation_records.empty()) check_evaluated_lengths(config);
}

int run_evaluation(const Config& given) {
  const auto config = evaluation_config(given);
  check_evaluation_outputs(config.eval);
  auto session = start_session(given);
  const auto evaluate = [&] {
    check_same_config(config, *session.communicator);
    join_pipeline(config, &session);
    if (asks_questions(config.eval)) return run_tasks(config, session);
    // Of a training's config that names both, the texts would hide the answers.
    return config.data.validation_records.empty() ? evaluate_on_this_rank(config, session)
                                                  : evaluate_records_on_this_rank(config, session);
  };
  return run_on_all_ranks(session, evaluate, [] { return int64_t{-1}; });
}

}  // namespace lococo
