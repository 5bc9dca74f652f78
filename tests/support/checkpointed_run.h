// A small training run that is saved and loaded, for the tests of checkpoints.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/llama.h"
#include "model/registry.h"
#include "tests/support/tiny_llama.h"
#include "train/optimizer.h"
#include "weights/checkpoint.h"

namespace lococo::testing {

/// What the fingerprint of the run's base is said to be.
inline constexpr const char* kBaseFingerprint = "0123456789abcdef";
inline constexpr uint64_t kBaseSeed = 3;

TuneConfig tune_parts();       ///< convolutions, LoRA, embedding and norms
TuneConfig tune_everything();  ///< convolutions and the whole base

/// A model under training: frozen weights in bfloat16, one LoRA where tuned, an AdamW.
struct CheckpointedRun {
  explicit CheckpointedRun(const TuneConfig& tune = tune_parts(),
                           const CacheConfig& cache = tiny_cache(),
                           const std::string& adapter = "");

  /// One optimizer step on a sequence of four blocks that depends on the step's number only.
  void train_step();
  std::string save(const std::string& output, int64_t keep_last = 2);
  CheckpointState load(const std::string& dir, const std::string& base = kBaseFingerprint);
  /// Copies of all parameters and of the optimizer's state.
  TensorMap everything();

  Llama model;
  std::string adapter_path;
  std::unique_ptr<ParameterRegistry> registry;
  std::unique_ptr<AdamW> optimizer;
  int64_t step = 0;
};

void flip_last_bit(const std::string& path);
std::vector<std::string> sorted_names_in(const std::string& dir);

}  // namespace lococo::testing
