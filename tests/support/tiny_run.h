// A training run small enough for unit tests: random model, random text, a folder of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "train/trainer.h"

namespace lococo::testing {

/// Writes a token file of the vocabulary of tiny_shape() and returns its path.
std::string write_tokens(const std::string& path,
                         const std::vector<std::vector<int32_t>>& documents);

/// A document of random tokens.
std::vector<int32_t> random_document(int64_t length, uint64_t seed);

/// tiny_shape() with random weights and tiny_cache(), tuned in its convolutions; four steps of four
/// sequences of 33 tokens from FOLDER/train.tokens (written here), output in FOLDER/run.
Config tiny_run_config(const std::string& folder);

/// A tiny model of bytes, all of it tuned through whole sequences of 2,400 tokens of
/// FOLDER/novel.txt (written here); two steps of four sequences, half of them lessons.
Config tiny_lesson_config(const std::string& folder);

/// One rank on the CPU that is ready to train as the config says.
struct TinyRun {
  explicit TinyRun(const Config& config);

  std::unique_ptr<Communicator> communicator;
  Llama model{nullptr};  ///< the trainer's own
  std::unique_ptr<Trainer> trainer;
};

}  // namespace lococo::testing
