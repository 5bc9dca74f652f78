#include "train/training_check.h"

#include <algorithm>
#include <string>

#include "core/error.h"
#include "core/files.h"
#include "pass/sequence_pass.h"
#include "setup/check_inputs.h"
#include "setup/model_parts.h"
#include "setup/model_positions.h"
#include "train/resume_check.h"
#include "weights/checkpoint_files.h"

namespace lococo {

void check_given(const Config& config) {
  if (config.train.output.empty())
    throw UserError("train.output: give the folder for checkpoints and metrics");
  if (config.data.train.empty() && config.data.records.empty())
    throw UserError("data.train: give the training text or token files");
}

void check_teacher(const Config& config, const ModelShape& shape) {
  const auto known = known_positions(config, shape);
  const bool teaches = resolved_pass(config) == PassKind::kTeach;
  if ((teaches || config.cache.distill > 0.0) && known && config.data.context_length > *known) {
    throw UserError(std::string(teaches ? "train.pass teach" : "cache.distill") +
                    ": data.context_length " + std::to_string(config.data.context_length) +
                    " is beyond the base's " + std::to_string(*known) +
                    " positions, where its full attention teaches nothing; use shorter sequences");
  }
}

std::string checkpoint_to_resume(const TrainConfig& train, DamageCheck check) {
  if (train.resume == Resume::kPath) return train.resume_path;
  if (train.resume == Resume::kAuto)
    return newest_good_checkpoint(train.output, CheckpointUse::kResume, check).value_or("");
  if (path_exists(train.output + "/metrics.jsonl") ||
      !checkpoints_newest_first(train.output).empty()) {
    throw UserError("train.output: " + train.output +
                    " holds a run already; choose another folder, or set train.resume=auto to go "
                    "on");
  }
  return "";
}

void refuse_to_train_nothing() {
  throw UserError(
      "tune: nothing is trained; give at least one group a learning rate, e.g. tune.conv=0.05");
}

namespace {

void check_resumable(const Config& config) {
  const std::string folder = checkpoint_to_resume(config.train, DamageCheck::kSizes);
  if (folder.empty()) return;
  const CheckpointState there = read_resumable(folder, DamageCheck::kSizes).state;
  const std::string base = known_base_fingerprint(config);
  check_resume(folder, there, {config, base, there.data_fingerprints});
}

}  // namespace

void check_training(const Config& config) {
  check_given(config);
  const ModelShape shape = effective_shape(config);
  check_teacher(config, shape);
  const auto parameters = describe_parameters(config, shape, all_layers(shape));
  const bool trains = std::ranges::any_of(parameters, &RegisteredParameter::trainable);
  if (!trains) refuse_to_train_nothing();
  check_can_make_directories(config.train.output);
  check_resumable(config);
}

}  // namespace lococo
