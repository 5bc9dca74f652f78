// What a training is refused for before anything is loaded.
#pragma once

#include "config/config.h"
#include "core/model_shape.h"

namespace lococo {

/// Each throws UserError.
void check_given(const Config& config);  ///< train.output, and what to train on
/// Beyond its own context full attention is no teacher.
void check_teacher(const Config& config, const ModelShape& shape);
/// With train.resume never a folder that holds a run is left alone.
void check_output_is_new(const TrainConfig& train);
[[noreturn]] void refuse_to_train_nothing();

/// All of them for the whole model, as --dry-run does.
void check_training(const Config& config);

}  // namespace lococo
