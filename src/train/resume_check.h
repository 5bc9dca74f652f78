// What differs between a checkpoint's run and the one that wants to go on from it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/config.h"
#include "weights/checkpoint.h"

namespace lococo {

/// What a key's change does to a run.
enum class ChangeKind {
  kNone,      ///< has no part in what is trained: eval, log, checkpoint, where files lie, ...
  kRounding,  ///< the same run, sums in another order: micro_batch, cuda_graphs, ...
  kMeaning,   ///< another run; train.resume_changed: accept goes on all the same
  kWeights,   ///< the checkpoint's weights fit no other value
};

struct ConfigChange {
  std::string key;
  std::string there, here;  ///< as YAML
  ChangeKind kind = ChangeKind::kNone;
};

/// This run, to compare a checkpoint with.
struct ResumingRun {
  const Config& config;
  const std::string& base_fingerprint;
  const std::vector<uint64_t>& data_fingerprints;  ///< of config.data.train, then of the lessons
};

/// Every key with two values, and data.train or model.path when what they hold has changed. A key
/// that decides the tokens (data.train, data.tokenizer, ...) counts as changed only if the tokens
/// may have: equal fingerprints make it kNone. train.steps is kNone with a constant rate and
/// kMeaning with a decay, whose rate at every step it sets. Keys that every run has of its own
/// (train.output, train.resume), and those of other tools, are left out.
std::vector<ConfigChange> resume_changes(const CheckpointState& there, const Config& checkpoint,
                                         const ResumingRun& here);

/// Throws UserError with one line that names every change of meaning in the checkpoint `dir`
/// (unless train.resume_changed accepts them), and logs the others in one line.
void check_resume(const std::string& dir, const CheckpointState& there, const ResumingRun& here);

}  // namespace lococo
