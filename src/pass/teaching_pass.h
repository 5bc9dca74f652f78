// Teaches a learned memory end to end: whole sequences go through the soft form of a cache, and
// what comes out is compared with the same base's full attention (docs/memory.md).
#pragma once

#include <memory>

#include "config/config.h"
#include "pass/sequence_pass.h"
#include "soft/soft_cache.h"

namespace lococo {

/// The cache that step `step` (from 0) of a run teaches for: one of teach.slots, drawn by
/// train.seed and step, with newest tokens in proportion, and a temperature that falls
/// geometrically over train.steps.
SoftCache soft_cache_of_step(const Config& config, int64_t step);

/// What each target counts for in the sum of losses, float32 [B, T], for kinds_BT (uint8 of
/// TargetKind): the n targets of a row that are not ignored together n times (their mean, far
/// repeats teach.far_weight times, plus teach.answer_weight times the mean over the row's answers).
/// Ignored targets have 0. Rows know nothing of each other, so that a step is the same however its
/// sequences are divided into micro-batches and ranks, whatever is padded.
torch::Tensor teaching_weights(const torch::Tensor& kinds_BT, const TeachConfig& teach);

/// How much of what each target is to be is the token itself, float32 [X]: teach.answer_truth where
/// it answers, else 0. Undefined when that is 0 everywhere. Full attention of a small model often
/// answers wrongly, and a fact that it does not find teaches nobody to keep it.
torch::Tensor answer_truth(const torch::Tensor& kinds_X, const TeachConfig& teach);

/// The loss of train() is the weighted sum of KL(full attention without LoRA || soft cache) over
/// all targets, of answers a share of it replaced by their own; evaluate() measures the hard cache,
/// block after block. Gradients reach gates and LoRA.
std::unique_ptr<SequencePass> make_teaching_pass(const Config& config);

}  // namespace lococo
