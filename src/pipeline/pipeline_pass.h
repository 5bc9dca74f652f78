// Sequences through a pipeline: the blocks of a step plan are its micro-batches.
#pragma once

#include <memory>

#include "config/config.h"
#include "pass/sequence_pass.h"
#include "pipeline/pipeline.h"

namespace lococo {

/// What one stage does of the blockwise pass, in which a block depends on the one before through
/// each layer's own cache alone: while a block is with the next stage, this one takes up the block
/// after it. The caches stay in their stage. All stages of a replica call train() and evaluate()
/// together, with the same batch. Gradients are those of the whole model's pass, where
/// cache.bptt_blocks is 1 and cache.distill 0.
///
/// Loss and number of targets are the last stage's; the others return zeros, and evaluate() an
/// undefined tensor. `pipeline` must live as long. Where the config trains and evaluates whole
/// sequences it is make_whole_pipeline_pass().
std::unique_ptr<SequencePass> make_pipeline_pass(const Config& config, Pipeline& pipeline);

/// The pass that the config asks for, on a stage or (nullptr) with the whole model.
std::unique_ptr<SequencePass> make_pass(const Config& config, Pipeline* pipeline);

}  // namespace lococo
