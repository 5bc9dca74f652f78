#include "train/trainer.h"

#include <cmath>

#include "config/config_write.h"
#include "core/build_info.h"
#include "core/elapsed.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/progress_count.h"
#include "dist/activity.h"
#include "eval/evaluation_report.h"
#include "eval/record_report.h"
#include "pipeline/pipeline_pass.h"
#include "setup/same_run.h"
#include "setup/session.h"
#include "tensor/kit/memory_stats.h"
#include "train/closing_evaluation.h"
#include "train/evaluation_values.h"
#include "train/lr_schedule.h"
#include "train/normalizer_range.h"
#include "train/not_finite.h"
#include "train/resume_check.h"
#include "train/signals.h"
#include "train/stage_checkpoint.h"
#include "train/training_check.h"

namespace lococo {

Trainer::Trainer(const Config& config, PreparedModel prepared, TrainingSequences sequences,
                 std::unique_ptr<Evaluator> evaluator, torch::Device device,
                 Communicator& communicator, int64_t threads,
                 std::unique_ptr<RecordEvaluator> record_evaluator, Pipeline* pipeline)
    : config_(config),
      prepared_(std::move(prepared)),
      sequences_(std::move(sequences)),
      evaluator_(std::move(evaluator)),
      record_evaluator_(std::move(record_evaluator)),
      record_counts_(sequences_.record_counts()),
      device_(device),
      communicator_(communicator),
      pipeline_(pipeline),
      share_(share_of(communicator, pipeline)),
      threads_(threads),
      pass_(make_pass(config, pipeline)),
      batches_(config, sequences_, share_.first, share_.step, pass_->wants_kinds()),
      optimizer_(prepared_.registry->trainable(), config.train,
                 pipeline == nullptr ? communicator : pipeline->replicas(),
                 config.distributed.shard_optimizer,
                 pipeline == nullptr ? nullptr : &pipeline->stages()) {
  if (optimizer_.parameters().empty()) refuse_to_train_nothing();
  data_fingerprints_ = sequences_.fingerprints();
  check_same_files(prepared_.base_fingerprint,
                   config_.data.records.empty() ? "data.train" : "data.records", data_fingerprints_,
                   communicator_);
  resume();
  if (communicator_.is_main()) {
    make_directories(config_.train.output);
    write_text_file(config_.train.output + "/config.yaml", config_to_yaml(config_));
    metrics_ =
        std::make_unique<MetricsWriter>(config_.train.output, step_, config_.log.tensorboard);
  }
  progress_ =
      std::make_unique<Progress>(config_.train.steps, config_.log.every, communicator_.is_main());
}

void Trainer::resume() {
  std::string folder;
  // One rank looks, so that all take the same folder.
  if (communicator_.is_main()) folder = checkpoint_to_resume(config_.train);
  folder = communicator_.broadcast_text(folder, /*root=*/0);
  if (folder.empty()) return;

  check_same_checkpoint(folder, communicator_);
  const ResumingRun run = {config_, prepared_.base_fingerprint, data_fingerprints_};
  CheckpointState state;
  run_alike(communicator_, [&] {
    state = load_checkpoint(
        folder, prepared_.model, *prepared_.registry, prepared_.base_fingerprint,
        [&](const TensorMap& optimizer_state) { optimizer_.load_state(optimizer_state); },
        [&](const CheckpointState& there) { check_resume(folder, there, run); });
  });
  step_ = first_step_ = saved_step_ = state.step;
  tokens_seen_ = state.tokens_seen;
  log_info("resuming from " + folder + " at step " + std::to_string(step_));
  if (device_.is_cpu() && state.threads != threads_) {
    log_warn("the checkpoint was made with " + std::to_string(state.threads) +
             " CPU threads a rank, now " + std::to_string(threads_) + "; set distributed.threads=" +
             std::to_string(state.threads) + " for a bit-exact resume");
  }
}

TrainOutcome Trainer::train() {
  while (step_ < config_.train.steps) {
    note_step(step_ + 1);
    const auto metrics = train_step();
    after_step(metrics);
    // All ranks must leave at the same step, whoever was signalled.
    const int64_t signal = signal_to_any_rank();
    if (signal != 0) {
      progress_->end_line();
      save();
      stop_signal_ = static_cast<int>(signal);
      log_info("stopped by signal " + std::to_string(signal) + " after step " +
               std::to_string(step_));
      return TrainOutcome::kStoppedBySignal;
    }
  }
  progress_->end_line();
  save();
  evaluate_at_end();
  return TrainOutcome::kFinished;
}

int64_t Trainer::signal_to_any_rank() {
  const Doing doing("stop signals");
  return communicator_.all_reduce_max_int(pending_signal().value_or(0));
}

StepMetrics Trainer::train_step() {
  const auto started = steady_now();
  optimizer_.zero_grad();
  pass_->begin_step(step_);
  const auto sums = forward_backward();
  const auto& trained = optimizer_.parameters();
  const double factor = lr_factor(config_.train, step_);
  const double grad_norm =
      optimizer_.scale_and_clip(static_cast<double>(sums.targets), config_.train.clip)
          .item<double>();
  // Before the update: a weight that is not a number could still be saved.
  if (!std::isfinite(grad_norm)) {
    run_alike(communicator_, [&] {
      throw UserError("the gradient of step " + std::to_string(step_ + 1) +
                      " is not finite; the last checkpoint stays. " +
                      cause_of_non_finite(*prepared_.registry, step_ > first_step_));
    });
  }
  optimizer_.step(factor);
  if (config_.cache.normalizer_range == NormalizerRange::kUnit) clamp_normalizers(trained);
  ++step_;
  tokens_seen_ += sums.tokens;

  StepMetrics metrics;
  metrics.step = step_;
  metrics.loss = sums.loss_sum / static_cast<double>(sums.targets);
  metrics.tokens = tokens_seen_;
  metrics.grad_norm = grad_norm;
  double peak_rate = 0;
  for (const auto& parameter : trained) peak_rate = std::max(peak_rate, parameter.learning_rate);
  metrics.lr = peak_rate * factor;
  metrics.peak_memory_bytes = communicator_.all_reduce_max_int(peak_memory_bytes(device_));
  if (record_counts_) {
    metrics.counts = {{"targets", sums.targets},
                      {"records", record_counts_->kept},
                      {"records_dropped", record_counts_->dropped},
                      {"records_truncated", record_counts_->truncated},
                      {"records_split", record_counts_->split},
                      {"records_without_target", record_counts_->without_target}};
  }
  const double seconds = seconds_since(started);
  metrics.tokens_per_s = static_cast<double>(sums.tokens) / seconds;
  return metrics;
}

StepSums Trainer::forward_backward() {
  const auto batches = batches_.take(step_);
  const auto results =
      pass_->train_all(prepared_.model, static_cast<int64_t>(batches.size()), [&](int64_t i) {
        note_progress();
        return batches_.batch_of(batches[static_cast<size_t>(i)], device_);
      });
  int64_t tokens = 0;
  for (const MicroBatch& batch : batches)
    if (share_.reports) tokens += batch.num_tokens();
  const StepSums sums =
      sum_over_ranks(results, tokens, communicator_, pipeline_, device_, &optimizer_);
  if (sums.targets == 0) {
    run_alike(communicator_, [&] {
      throw UserError(
          "step " + std::to_string(step_ + 1) +
          " has no target to learn from: without cache.boundary_targets the last query of each "
          "block has none, and a block of one token has no other; set cache.boundary_targets=true "
          "or a larger cache.block");
    });
  }
  if (!std::isfinite(sums.loss_sum)) {
    report_non_finite({step_ + 1, batches, results}, sequences_, communicator_,
                      cause_of_non_finite(*prepared_.registry, step_ > first_step_));
  }
  return sums;
}

void Trainer::after_step(const StepMetrics& metrics) {
  if (metrics_) metrics_->write(metrics);
  progress_->update(metrics);
  if (step_ % config_.log.every == 0) watch_normalizers();
  const bool evaluates = evaluator_ || record_evaluator_;
  if (evaluates && config_.eval.every > 0 && step_ % config_.eval.every == 0) evaluate();
  if (config_.checkpoint.every > 0 && step_ % config_.checkpoint.every == 0) save();
}

void Trainer::watch_normalizers() {
  const CacheConfig& cache = config_.cache;
  const bool may_leave = cache.has_convs() && cache.normalizer_range != NormalizerRange::kUnit;
  if (warned_of_normalizers_ || !may_leave) return;
  auto spread = spread_of_normalizers(optimizer_.parameters());
  if (pipeline_ != nullptr) spread = spread_over(pipeline_->stages(), spread);
  const std::string warning = normalizer_warning(spread);
  if (warning.empty()) return;
  warned_of_normalizers_ = true;
  progress_->end_line();
  log_warn("step " + std::to_string(step_) + ": " + warning);
}

void Trainer::evaluate() {
  const Doing doing("evaluation");
  progress_->end_line();
  std::vector<LengthResult> results;
  std::vector<RecordResult> records;
  if (evaluator_)
    results = evaluator_->evaluate(prepared_.model, device_, communicator_, pipeline_);
  if (record_evaluator_)
    records = record_evaluator_->evaluate(prepared_.model, device_, communicator_, pipeline_);
  reset_peak(device_);
  if (!communicator_.is_main()) return;
  metrics_->write_evaluation(step_, evaluation_values(results, records));
  const std::string tables = (results.empty() ? "" : results_table(results)) +
                             (records.empty() ? "" : records_table(records));
  log_info("evaluation after step " + std::to_string(step_) + "\n" + tables);
  const std::string problem = non_finite_problem(results);
  if (!problem.empty()) log_warn(problem);
}

/// Texts are evaluated by evaluate_after_training().
void Trainer::evaluate_at_end() {
  const bool wanted = config_.eval.after_training && config_.eval.every == 0;
  if (record_evaluator_ && wanted && step_ > first_step_)
    run_closing_evaluation(communicator_, checkpoint(), [&] { evaluate(); });
}

void Trainer::save() {
  if (saved_step_ == step_) return;
  const Doing doing("checkpoint");
  watch_normalizers();
  const StateToSave optimizer_state = optimizer_.state_to_save();
  std::string folder;
  if (pipeline_ != nullptr && pipeline_->replicas().is_main()) {
    folder = save_stages(config_, checkpoint_state(), prepared_, optimizer_state, *pipeline_);
  } else if (pipeline_ != nullptr || !communicator_.is_main()) {
    DataParallelOptimizer::hand_over(optimizer_state);
  } else {
    folder = save_checkpoint(config_.train.output, config_.checkpoint, checkpoint_state(),
                             prepared_.model, *prepared_.registry, optimizer_state);
  }
  if (communicator_.is_main()) {
    progress_->end_line();
    log_info("saved " + folder);
  }
  saved_step_ = step_;
  communicator_.barrier();
}

std::string Trainer::checkpoint() const {
  return config_.train.output + "/" + checkpoint_name(saved_step_);
}

CheckpointState Trainer::checkpoint_state() const {
  CheckpointState state;
  state.step = step_;
  state.tokens_seen = tokens_seen_;
  state.base_fingerprint = prepared_.base_fingerprint;
  state.data_fingerprints = data_fingerprints_;
  state.base_path = config_.model.path;
  state.adapter_path = config_.model.adapter;
  state.config_yaml = config_to_yaml(config_);
  state.git_revision = std::string(git_revision());
  state.threads = threads_;
  state.world_size = communicator_.size();
  return state;
}

}  // namespace lococo
