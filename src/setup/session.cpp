#include "setup/session.h"

#include "config/config_effect.h"
#include "config/config_write.h"
#include "core/error.h"
#include "core/launcher.h"
#include "core/log.h"
#include "core/memory_error.h"
#include "data/prepare.h"
#include "dist/activity.h"
#include "lessons/open_lessons.h"
#include "pipeline/layer_split.h"
#include "records/open_records.h"
#include "setup/gpu_architecture.h"
#include "setup/model_parts.h"
#include "setup/model_positions.h"
#include "setup/taught_template.h"
#include "setup/training_sources.h"
#include "tensor/attention/attention.h"

namespace lococo {

Session start_session(const Config& config) {
  const auto ranks = join_ranks(config.distributed);
  configure_log(parse_log_level(config.log.level), ranks.rank == 0);
  const std::string without_effect = effect_warning(config);
  if (!without_effect.empty()) log_warn(without_effect);
  if (config.train.deterministic) use_deterministic_kernels();
  Session session;
  session.device = pick_device(config.distributed, ranks.local_rank);
  session.threads = set_threads(config.distributed, ranks.local_size);
  session.communicator = make_communicator(config.distributed, session.device);
  run_alike(*session.communicator, [&] { check_architecture(session.device); });
  log_debug("effective config\n" + config_to_yaml(config));
  log_info("rank 0 of " + std::to_string(ranks.size) + " on " + session.device.str() + " with " +
           std::to_string(session.threads) + " CPU threads");
  return session;
}

std::unique_ptr<Pipeline> make_pipeline(const Config& config, Communicator& world,
                                        torch::Device device) {
  std::unique_ptr<Pipeline> pipeline;
  run_alike(world, [&] {
    const auto shape = effective_shape(config);
    if (config.distributed.pipeline == 1) return;
    const auto place = place_in_grid(config.distributed.pipeline, world.rank(), world.size());
    const auto parts = stages_of(config, shape);
    pipeline =
        std::make_unique<Pipeline>(place, parts[static_cast<size_t>(place.stage)], world, device);
    log_info("pipeline of " + std::to_string(place.stages) + " stages, " +
             std::to_string(place.replicas) + (place.replicas == 1 ? " replica: " : " replicas: ") +
             describe_split(parts, head_in_layers(shape, attended_tokens(config))));
  });
  return pipeline;
}

void join_pipeline(const Config& config, Session* session) {
  session->pipeline = make_pipeline(config, *session->communicator, session->device);
}

void check_undivided(const Session& session, const std::string& what) {
  const int ranks = session.communicator->size();
  if (ranks == 1) return;
  if (!session.pipeline) {
    throw UserError(what + " as one process; start it without mpirun, or as the stages of " +
                    "distributed.pipeline");
  }
  const GridPlace& place = session.pipeline->place();
  if (place.replicas == 1) return;
  throw UserError(what + " as the stages of one model; start it with mpirun -np " +
                  std::to_string(place.stages) +
                  ", or use distributed.pipeline=" + std::to_string(ranks));
}

void check_whole_model(const DistributedConfig& config, const std::string& what) {
  check_launched_alone(what);
  if (config.pipeline == 1) return;
  throw UserError("distributed.pipeline: " + std::to_string(config.pipeline) + ", but " + what +
                  " in one process with the whole model; use distributed.pipeline=1");
}

void run_alike(const Communicator& world, const std::function<void()>& body) {
  try {
    body();
  } catch (const UserError&) {
    // Until rank 0 has told and ends all; but what this rank alone has found must be told too.
    if (!world.is_main()) wait_for_rank_0_to_tell();
    throw;
  }
}

PreparedModel load_model(const Config& config, const Communicator& world, torch::Device device,
                         const std::optional<LayerRange>& part) {
  PreparedModel prepared;
  run_alike(world, [&] { prepared = prepare_model(config, device, part); });
  return prepared;
}

PreparedModel load_model(const Config& config, const Session& session) {
  return load_model(config, *session.communicator, session.device, session.part());
}

std::unique_ptr<Tokenizer> open_tokenizer(const Config& config, int64_t vocab_size) {
  auto tokenizer = open_tokenizer(config.data, config.model.path);
  if (tokenizer) check_vocabulary(*tokenizer, vocab_size);
  return tokenizer;
}

namespace {

/// Tokenises on one rank of each host while the others wait: hosts need not share a disk, and
/// where they do, the token file's lock lets the second find what the first has made.
void prepare_on_each_host(const std::vector<DataSource>& sources, const Config& config,
                          const Tokenizer* tokenizer, const Session& session) {
  const Doing doing("tokenising");
  if (session.communicator->local_rank() == 0) {
    for (const auto& source : sources) prepare_source(source, config.data, tokenizer);
  }
  session.communicator->barrier();
}

}  // namespace

std::vector<std::shared_ptr<const TokenFile>> open_validation_data(const Config& config,
                                                                   const Session& session,
                                                                   int64_t vocab_size) {
  check_validation_given(config.data);
  const auto tokenizer = open_tokenizer(config, vocab_size);
  prepare_on_each_host(config.data.validation, config, tokenizer.get(), session);
  return open_sources(config.data.validation, config.data, tokenizer.get(), vocab_size);
}

std::vector<RecordSet> open_validation_records(const Config& config, int64_t vocab_size) {
  const auto tokenizer = open_tokenizer(config, vocab_size);
  return open_record_sets(config, "data.validation_records", config.data.validation_records,
                          tokenizer.get(), template_of_evaluation(config));
}

TrainingData open_training_data(const Config& config, const Session& session, int64_t vocab_size) {
  const std::shared_ptr<const Tokenizer> tokenizer = open_tokenizer(config, vocab_size);
  TrainingData data;
  warn_about_untrained_answers(config);
  data.records = open_records(config, tokenizer.get());
  if (!data.records) {
    data.lessons = open_lessons(config, tokenizer);
    prepare_on_each_host(config.data.train, config, tokenizer.get(), session);
    data.train = open_dataset(config.data.train, config.data, tokenizer.get(), vocab_size);
  }
  check_validation_paths(config);
  if (config.eval.every > 0 && !config.data.validation.empty())
    data.validation = open_validation_data(config, session, vocab_size);
  if (evaluates_records(config))
    data.validation_records = open_record_sets(config, "data.validation_records",
                                               config.data.validation_records, tokenizer.get());
  return data;
}

int run_on_all_ranks(Session& session, const std::function<int()>& body,
                     const std::function<int64_t()>& current_step) {
  if (session.communicator->size() == 1) return body();
  try {
    return body();
  } catch (const UserError& error) {
    abort_all_ranks(*session.communicator, current_step(), error.what(), 2);
  } catch (const std::exception& error) {
    const auto memory = memory_error_line(error);
    const auto* torchs = dynamic_cast<const c10::Error*>(&error);
    const std::string text = torchs != nullptr ? torchs->what_without_backtrace() : error.what();
    abort_all_ranks(*session.communicator, current_step(), memory.value_or(text), memory ? 2 : 1);
  }
}

}  // namespace lococo
