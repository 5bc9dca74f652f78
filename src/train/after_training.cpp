#include "train/after_training.h"

#include <algorithm>
#include <cstdio>
#include <memory>

#include "core/error.h"
#include "core/log.h"
#include "data/prepare.h"
#include "eval/evaluation_report.h"
#include "train/closing_evaluation.h"

namespace lococo {
namespace {

constexpr int64_t kParts = 8;
constexpr int64_t kShareOfTraining = 20;
constexpr double kLargestRise = 0.5;

using Files = std::vector<std::shared_ptr<const TokenFile>>;

/// Tokens of the longest segment that a document of the files has.
int64_t longest_segment(const Files& files) {
  int64_t longest = 0;
  for (const auto& file : files) {
    for (int64_t i = 0; i < file->num_documents(); ++i)
      longest = std::max(longest, file->document_length(i) - 1);
  }
  return longest;
}

/// Throws UserError where there is nothing to evaluate on.
std::unique_ptr<Evaluator> open_evaluator(const Config& config, int64_t vocab_size,
                                          int64_t trained) {
  const auto tokenizer = open_tokenizer(config, vocab_size);
  const auto files = open_sources(config.data.validation, config.data, tokenizer.get(), vocab_size);
  const int64_t longest = longest_segment(files);
  if (longest < kParts) throw UserError("data.validation: its documents are too short");
  return std::make_unique<Evaluator>(after_training_config(config, longest, trained), files);
}

/// `ranks`: that evaluate together.
void evaluate(const Evaluator& evaluator, const Session& session, Llama& model,
              Communicator& ranks) {
  const auto results = evaluator.evaluate(model, session.device, ranks, session.pipeline.get());
  log_info("evaluation after training\n" + results_table(results));
  for (const std::string& warning :
       {non_finite_problem(results), rise_warning(results.front().by_position)}) {
    if (!warning.empty()) log_warn(warning);
  }
}

}  // namespace

Config after_training_config(const Config& config, int64_t longest, int64_t trained) {
  Config result = config;
  EvalConfig& eval = result.eval;
  const int64_t wanted = config.given.count("eval.lengths") > 0
                             ? *std::max_element(eval.lengths.begin(), eval.lengths.end())
                             : config.data.context_length;
  const int64_t length = std::min(wanted, longest);
  eval.lengths = {length};
  eval.windows = EvalWindows::kStride;
  eval.max_tokens = std::max(length, std::min(eval.max_tokens, trained / kShareOfTraining));
  eval.position_buckets = std::min(kParts, length);
  eval.batch = std::min(eval.batch, config.train.micro_batch);
  return result;
}

std::string rise_warning(const std::vector<PositionBucket>& by_position) {
  for (size_t i = 1; i < by_position.size(); ++i) {
    const double before = by_position[i - 1].mean(), after = by_position[i].mean();
    if (!(after - before > kLargestRise)) continue;
    char text[256];
    std::snprintf(text, sizeof(text),
                  "the NLL along a segment goes from %.3f (tokens %lld to %lld) to %.3f (up to "
                  "%lld): the model fails beyond there",
                  before, static_cast<long long>(by_position[i - 1].begin),
                  static_cast<long long>(by_position[i - 1].end), after,
                  static_cast<long long>(by_position[i].end));
    return text;
  }
  return "";
}

void evaluate_after_training(const Config& config, const Session& session, Llama& model,
                             int64_t trained, const std::string& checkpoint) {
  Communicator& world = *session.communicator;
  const bool takes_part = session.pipeline || world.is_main();
  if (!config.eval.after_training || config.data.validation.empty() || trained == 0 || !takes_part)
    return;
  const auto alone = make_single_communicator();
  std::unique_ptr<Evaluator> evaluator;
  run_closing_evaluation(*alone, checkpoint, [&] {
    evaluator = open_evaluator(config, model->shape().vocab_size,
                               session.pipeline ? trained : trained / world.size());
  });
  // Hosts may have disks of their own: a rank that finds no files must not leave the others
  // waiting.
  const bool found = evaluator != nullptr;
  Communicator& ranks = session.pipeline ? world : *alone;
  if (ranks.all_reduce_max_int(found ? 0 : 1) == 0) {
    run_closing_evaluation(ranks, checkpoint, [&] { evaluate(*evaluator, session, model, ranks); });
  } else if (found) {
    log_warn("no evaluation after training: another rank could not open data.validation");
  }
}

}  // namespace lococo
