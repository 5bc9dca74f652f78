// A look along the segment when the last step is done: a model that is good on average may still
// fail towards the end of its context, which a training loss does not show.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"
#include "eval/evaluator.h"
#include "setup/session.h"

namespace lococo {

/// The config of that evaluation: one length (the longest of eval.lengths where the user gave them,
/// else data.context_length; at most `longest`, the tokens of the longest segment that the files
/// have), eight parts of a segment, as many rows at a time as training has, and so few segments
/// (one at least) that it reads a twentieth of the `trained` tokens: it takes a few hundredths of
/// the training's time, because scoring a token costs about a third of training on it.
Config after_training_config(const Config& config, int64_t longest, int64_t trained);

/// One line for the log when the mean NLL rises by more than 0.5 from one part to the next; else
/// empty.
std::string rise_warning(const std::vector<PositionBucket>& by_position);

/// Evaluates on data.validation as above, on rank 0 alone while the others go on (the stages of a
/// pipeline together), and logs what it found, or why there is none (closing_evaluation.h).
/// `trained`: tokens of this process's steps, over all ranks. `checkpoint`: the folder that they
/// are saved in. Nothing where eval.after_training or the data say so.
void evaluate_after_training(const Config& config, const Session& session, Llama& model,
                             int64_t trained, const std::string& checkpoint);

}  // namespace lococo
