// The training loop: train() > train_step() > forward_backward().
#pragma once

#include <torch/types.h>

#include <memory>
#include <optional>
#include <vector>

#include "config/config.h"
#include "dist/communicator.h"
#include "eval/evaluator.h"
#include "eval/record_evaluator.h"
#include "pass/sequence_pass.h"
#include "pipeline/pipeline.h"
#include "report/metrics.h"
#include "report/progress.h"
#include "setup/model_setup.h"
#include "train/data_parallel_optimizer.h"
#include "train/step_batches.h"
#include "train/step_sums.h"
#include "train/training_sequences.h"
#include "weights/checkpoint.h"

namespace lococo {

/// How a run ended, as the process's exit code says it.
enum class TrainOutcome { kFinished, kStoppedBySignal };

/// One run on one rank. A step's micro-batches are dealt out over the ranks (StepBatches), or over
/// the replicas of a pipeline, so the result does not depend on the number of ranks beyond
/// rounding.
class Trainer {
 public:
  /// Both evaluators may be null, and so may `pipeline`, of which `prepared` has this stage's part.
  /// Resumes as config.train says. Throws UserError for an output folder that cannot be used.
  Trainer(const Config& config, PreparedModel prepared, TrainingSequences sequences,
          std::unique_ptr<Evaluator> evaluator, torch::Device device, Communicator& communicator,
          int64_t threads, std::unique_ptr<RecordEvaluator> record_evaluator = nullptr,
          Pipeline* pipeline = nullptr);

  TrainOutcome train();

  int64_t step() const { return step_; }                ///< optimizer steps done
  int64_t tokens_seen() const { return tokens_seen_; }  ///< trained on, over all ranks
  Llama& model() { return prepared_.model; }
  /// The folder of the last checkpoint that train() has made sure of.
  std::string checkpoint() const;
  int stop_signal() const { return stop_signal_; }  ///< that ended train(); 0: none

 private:
  void resume();
  /// The largest number of a signal that any rank has been sent; 0: none.
  int64_t signal_to_any_rank();
  StepMetrics train_step();
  StepSums forward_backward();
  void after_step(const StepMetrics& metrics);
  void watch_normalizers();
  void save();
  CheckpointState checkpoint_state() const;
  void evaluate();
  void evaluate_at_end();

  Config config_;
  PreparedModel prepared_;
  TrainingSequences sequences_;
  std::unique_ptr<Evaluator> evaluator_;
  std::unique_ptr<RecordEvaluator> record_evaluator_;
  std::optional<RecordCounts> record_counts_;
  torch::Device device_;
  Communicator& communicator_;
  Pipeline* pipeline_;
  WorkShare share_;
  int64_t threads_;
  std::unique_ptr<SequencePass> pass_;
  StepBatches batches_;
  DataParallelOptimizer optimizer_;
  std::unique_ptr<MetricsWriter> metrics_;
  std::unique_ptr<Progress> progress_;
  int64_t step_ = 0;
  int64_t tokens_seen_ = 0;
  int64_t first_step_ = 0;  ///< where this process began
  int64_t saved_step_ = -1;
  std::vector<uint64_t> data_fingerprints_;
  int stop_signal_ = 0;
  bool warned_of_normalizers_ = false;
};

}  // namespace lococo
