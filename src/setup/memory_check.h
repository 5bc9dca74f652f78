// Whether a run's memory is there, told before any of it is asked for.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"
#include "core/error.h"
#include "core/model_shape.h"
#include "model/registry.h"
#include "setup/memory_estimate.h"

namespace lococo {

/// The weights of a model, or of a stage of it, are more than a device has.
class NoRoomForWeights : public UserError {
 public:
  using UserError::UserError;
};

/// Throws NoRoomForWeights, with numbers, when the weights alone are more than `device` has.
void check_room_for_weights(const Config& config,
                            const std::vector<RegisteredParameter>& parameters,
                            torch::Device device);

/// What to do about a training that needs more than `there` bytes of the memory of `where`, with
/// the data.context_length that fits where one does; "" when it is enough, or `there` is 0
/// (not known).
std::string memory_warning(const TrainingLoad& load, int64_t there, const std::string& where);

}  // namespace lococo
