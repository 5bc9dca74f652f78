// What a training is refused for before anything is loaded.
#pragma once

#include <string>

#include "config/config.h"
#include "core/model_shape.h"
#include "weights/checkpoint.h"

namespace lococo {

/// Each throws UserError.
void check_given(const Config& config);  ///< train.output, and what to train on
/// Beyond its own context full attention is no teacher.
void check_teacher(const Config& config, const ModelShape& shape);
/// The folder that train.resume goes on from; empty: a new run, for which a folder that holds one
/// is left alone.
std::string checkpoint_to_resume(const TrainConfig& train,
                                 DamageCheck check = DamageCheck::kEveryByte);
[[noreturn]] void refuse_to_train_nothing();

/// All of them for the whole model, as --dry-run does; and train.output that cannot be a folder,
/// and the checkpoint to go on from, as far as sizes and configs tell: neither its checksums nor
/// the fingerprints of data and of model.path are compared.
void check_training(const Config& config);

}  // namespace lococo
