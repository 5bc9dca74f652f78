// The checkpoint of a model whose parts lie on several ranks: one folder, the same as that of a
// model on one rank, so that it fits any number of stages and replicas.
#pragma once

#include <string>

#include "config/config.h"
#include "pipeline/pipeline.h"
#include "setup/model_setup.h"
#include "weights/checkpoint.h"
#include "weights/state_to_save.h"

namespace lococo {

/// save_checkpoint() of all stages of one replica, which call it together: rank 0 writes, and the
/// others hand over what is theirs, tensor by tensor. `own_state`: of this stage's optimizer.
/// Returns the folder on the first stage.
std::string save_stages(const Config& config, const CheckpointState& state, PreparedModel& own,
                        const StateToSave& own_state, Pipeline& pipeline);

}  // namespace lococo
