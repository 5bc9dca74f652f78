#include "train/run_training.h"

#include <string>

#include "config/step_division.h"
#include "core/build_info.h"
#include "core/log.h"
#include "dist/activity.h"
#include "setup/describe_run.h"
#include "setup/model_parts.h"
#include "setup/model_positions.h"
#include "setup/same_run.h"
#include "setup/session.h"
#include "tensor/pattern/training_pattern.h"
#include "train/after_training.h"
#include "train/signals.h"
#include "train/trainer.h"
#include "train/training_check.h"
#include "weights/folder_lock.h"

namespace lococo {
namespace {

TrainingSequences sequences_of(const Config& config, TrainingData* data) {
  if (data->records) return TrainingSequences(std::move(data->records));
  return {config, std::move(*data->train), std::move(data->lessons)};
}

std::unique_ptr<Trainer> make_trainer(const Config& config, Session& session) {
  const auto shape = effective_shape(config);
  check_teacher(config, shape);
  warn_about_memory(config, session.device);
  auto data = open_training_data(config, session, shape.vocab_size);
  std::unique_ptr<Evaluator> evaluator;
  if (!data.validation.empty()) {
    run_alike(*session.communicator,
              [&] { evaluator = std::make_unique<Evaluator>(config, data.validation); });
  }
  auto prepared = load_model(config, session);
  log_info("parameters\n" + summarise(describe_parameters(config, shape, all_layers(shape))));
  if (resolved_pass(config) == PassKind::kFullSequence)
    log_info(describe_pattern(config.attention, config.data.context_length, shape.num_heads));
  std::unique_ptr<RecordEvaluator> record_evaluator;
  if (!data.validation_records.empty()) {
    record_evaluator =
        std::make_unique<RecordEvaluator>(config, std::move(data.validation_records));
  }
  return std::make_unique<Trainer>(config, std::move(prepared), sequences_of(config, &data),
                                   std::move(evaluator), session.device, *session.communicator,
                                   session.threads, std::move(record_evaluator),
                                   session.pipeline.get());
}

void warn_about_idle_ranks(const Config& config, const Session& session) {
  const int64_t ranks =
      session.pipeline ? session.pipeline->place().replicas : session.communicator->size();
  const int64_t busy = busy_ranks(config.train, ranks);
  if (busy == ranks || !session.communicator->is_main()) return;
  log_warn("train.sequences_per_step: " + std::to_string(config.train.sequences_per_step) +
           " sequences, dealt in whole micro-batches, are work for " + std::to_string(busy) +
           " of " + std::to_string(ranks) + " ranks; the others wait");
}

/// Blocks of one sequence keep stages busy; whole sequences have to be as many as the stages.
void warn_about_waiting_stages(const Config& config, const Session& session) {
  if (!session.pipeline || is_blockwise(config)) return;
  const GridPlace& place = session.pipeline->place();
  const int64_t made = micro_batches_of_rank(config.train, place.replicas);
  if (made >= place.stages) return;
  log_warn("train.sequences_per_step: " + std::to_string(config.train.sequences_per_step) +
           " whole sequences by train.micro_batch " + std::to_string(config.train.micro_batch) +
           " are " + std::to_string(made) + " at a time of each replica on their way through " +
           std::to_string(place.stages) +
           " stages, which wait for each other; use a smaller micro-batch or more sequences");
}

}  // namespace

int run_training(const Config& config) {
  check_given(config);
  install_signal_handlers();
  auto session = start_session(config);
  if (config.distributed.shard_optimizer && session.communicator->size() == 1)
    log_warn("distributed.shard_optimizer: without effect in this run, which has one rank");

  FileLock lock;
  std::unique_ptr<Trainer> trainer;
  auto body = [&] {
    // One rank asks, the others learn of a refusal before they load anything.
    if (session.communicator->is_main()) lock = lock_output(config.train.output);
    session.communicator->barrier();
    check_same_config(config, *session.communicator);
    join_pipeline(config, &session);
    warn_about_idle_ranks(config, session);
    warn_about_waiting_stages(config, session);
    trainer = make_trainer(config, session);
    log_info("LoCoCo-Torch " + std::string(git_revision()) + "; the effective config is in " +
             config.train.output + "/config.yaml");
    const int64_t first_step = trainer->step(), first_tokens = trainer->tokens_seen();
    const auto outcome = trainer->train();
    if (trainer->step() == first_step)
      log_info("nothing to do: all " + std::to_string(first_step) + " steps are done");
    if (outcome == TrainOutcome::kStoppedBySignal) return exit_code_of(trainer->stop_signal());
    restore_signal_handlers();
    const Doing doing("evaluation after training");
    evaluate_after_training(config, session, trainer->model(),
                            trainer->tokens_seen() - first_tokens, trainer->checkpoint());
    session.communicator->barrier();  // the others must not leave while rank 0 evaluates
    return 0;
  };
  return run_on_all_ranks(session, body, [&] { return trainer ? trainer->step() + 1 : -1; });
}

}  // namespace lococo
