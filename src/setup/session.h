// What a process needs before it can load anything: its rank, device, threads, log and data.
#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "data/dataset.h"
#include "data/token_file.h"
#include "dist/communicator.h"
#include "lessons/lesson_source.h"
#include "pipeline/pipeline.h"
#include "records/record_rows.h"
#include "records/record_set.h"
#include "setup/model_setup.h"
#include "tokenizer/tokenizer.h"

namespace lococo {

struct Session {
  std::unique_ptr<Communicator> communicator;
  torch::Device device = torch::kCPU;
  int64_t threads = 1;                 ///< CPU threads of this rank
  std::unique_ptr<Pipeline> pipeline;  ///< null where every rank has the whole model

  /// The layers of this rank; nullopt: all.
  std::optional<LayerRange> part() const { return part_of(pipeline.get()); }
};

/// Joins the other ranks, takes this rank's device and threads, and lets only rank 0 log.
Session start_session(const Config& config);

/// Makes the ranks of `world`, which must live as long, stages, as distributed.pipeline says; null
/// where that is one. A collective call. Throws UserError when the ranks or the model cannot be
/// divided so, and whatever their number for a model.path that is none: one rank tells it.
std::unique_ptr<Pipeline> make_pipeline(const Config& config, Communicator& world,
                                        torch::Device device);

/// The same for the session's ranks, of the tools that have stages.
void join_pipeline(const Config& config, Session* session);

/// For work that is not divided: one process, or the stages of one model. Throws UserError, which
/// `what` begins ("lococo-generate runs"), for more ranks. All ranks find the same.
void check_undivided(const Session& session, const std::string& what);

/// For a tool that takes one process with the whole model. Throws UserError, which `what` begins
/// ("lococo-export runs"), for a launcher's several processes and for stages.
void check_whole_model(const DistributedConfig& config, const std::string& what);

/// Runs `body`, in which all ranks find the same: what is wrong is told by rank 0 alone, while the
/// others wait for their end. One that has not come after 20 s tells what it has found itself.
void run_alike(const Communicator& world, const std::function<void()>& body);

/// prepare_model() of the layers of one of the ranks of `world`, whose refusals one rank tells
/// (run_alike).
PreparedModel load_model(const Config& config, const Communicator& world, torch::Device device,
                         const std::optional<LayerRange>& part);

/// The same for the session's rank.
PreparedModel load_model(const Config& config, const Session& session);

/// data.tokenizer, else tokenizer.model of model.path; nullptr when there is none (token files need
/// none). Throws UserError for one with more tokens than the model (check_vocabulary).
std::unique_ptr<Tokenizer> open_tokenizer(const Config& config, int64_t vocab_size);

struct TrainingData {
  std::optional<Dataset> train;           ///< where there are no records
  std::unique_ptr<LessonSource> lessons;  ///< null unless data.lesson_share > 0
  std::unique_ptr<RecordRows> records;    ///< null without data.records
  // Both empty unless eval.every > 0.
  std::vector<std::shared_ptr<const TokenFile>> validation;
  std::vector<RecordSet> validation_records;
};

/// Prepares what is not prepared yet (one rank of each host, the others wait) and opens it. Throws
/// UserError.
TrainingData open_training_data(const Config& config, const Session& session, int64_t vocab_size);

/// data.validation_records alone, in template_of_evaluation().
std::vector<RecordSet> open_validation_records(const Config& config, int64_t vocab_size);

/// The same for data.validation alone.
std::vector<std::shared_ptr<const TokenFile>> open_validation_data(const Config& config,
                                                                   const Session& session,
                                                                   int64_t vocab_size);

/// Runs `body` and turns an exception on one of several ranks into the end of all: its line is
/// printed and every rank exits with 2 (the user's fault, too little memory) or 1. With one rank
/// exceptions pass through.
int run_on_all_ranks(Session& session, const std::function<int()>& body,
                     const std::function<int64_t()>& current_step);

}  // namespace lococo
