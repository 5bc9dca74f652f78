#include "train/not_finite.h"

#include <torch/types.h>

#include <cmath>

#include "core/error.h"

namespace lococo {

std::string cause_of_non_finite(const ParameterRegistry& parameters, bool stepped) {
  for (const auto& parameter : parameters.all()) {
    const bool as_loaded = !parameter.trainable || !stepped;
    if (parameter.tensor.is_meta()) continue;  // quantised, and looked at before that
    if (!as_loaded || torch::isfinite(parameter.tensor).all().item<bool>()) continue;
    return "The weights that the run began with hold values that are not finite (" +
           parameter.name + "); use another model.path or model.adapter";
  }
  return "Try a smaller learning rate";
}

void report_non_finite(const StepOutcome& outcome, const TrainingSequences& sequences,
                       Communicator& communicator, const std::string& cause) {
  const std::string of_step = " of step " + std::to_string(outcome.step) + " is not finite";
  const std::string end = "; the last checkpoint stays. " + cause;
  for (size_t i = 0; i < outcome.results.size(); ++i) {
    if (std::isfinite(outcome.results[i].loss_sum.item<double>())) continue;
    const int64_t first = outcome.batches[i].first_index;
    throw UserError("the loss" + of_step + " in the micro-batch that begins with sequence " +
                    std::to_string(first) + " (" + sequences.place(first) + ")" + end);
  }
  communicator.barrier();
  throw UserError("the sum of the losses" + of_step + end);
}

}  // namespace lococo
