#include "eval/run_evaluation.h"

#include <cstdio>
#include <filesystem>

#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "eval/evaluation_report.h"
#include "eval/evaluator.h"
#include "setup/model_setup.h"
#include "setup/session.h"

namespace lococo {
namespace {

/// Training options have no say in an evaluation: nothing is trained, everything has the compute
/// dtype.
Config evaluation_config(Config config) {
  const TuneConfig nothing;
  config.tune = nothing;
  return config;
}

int evaluate_on_this_rank(const Config& config, Session& session) {
  const auto files = open_validation_data(config, session, effective_shape(config).vocab_size);
  auto prepared = prepare_model(config, session.device);
  const Evaluator evaluator(config, files);
  const auto results = evaluator.evaluate(prepared.model, session.device, *session.communicator);
  if (!session.communicator->is_main()) return 0;
  std::fputs(results_table(results).c_str(), stdout);
  if (!config.eval.output.empty()) {
    write_text_file(config.eval.output, results_json(config, results));
    log_info("wrote " + config.eval.output);
  }
  return 0;
}

}  // namespace

int run_evaluation(const Config& given) {
  const auto config = evaluation_config(given);
  const auto folder = std::filesystem::path(config.eval.output).parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder)) {
    throw UserError("eval.output: there is no folder " + folder.string() + "; create it first");
  }
  auto session = start_session(config);
  return run_on_all_ranks(
      session, [&] { return evaluate_on_this_rank(config, session); }, [] { return int64_t{-1}; });
}

}  // namespace lococo
