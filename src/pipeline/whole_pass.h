// Whole sequences through a pipeline: the batches of a step are its micro-batches.
#pragma once

#include <memory>

#include "config/config.h"
#include "pass/sequence_pass.h"
#include "pipeline/pipeline.h"

namespace lococo {

/// What one stage does of the full-sequence pass (WholeRunner): train_all() sends the batches
/// through the stages one behind the other, one forward, one backward; with fewer batches than
/// stages some of them wait. All stages of a replica call train_all() and evaluate() together, with
/// the same batches. Gradients are those of the whole model's pass.
///
/// Loss and number of targets are the last stage's; the others return zeros, and evaluate() an
/// undefined tensor. `pipeline` must live as long.
std::unique_ptr<SequencePass> make_whole_pipeline_pass(const WholeOptions& options,
                                                       bool wants_kinds, Pipeline& pipeline);

}  // namespace lococo
