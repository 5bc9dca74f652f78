// Every option of every tool as plain structs with defaults and units, a header for each section
// that others than the tools need; config/config_yaml.h reads and checks them. Each module is given
// its own struct and never the whole, so that layers above do not leak downwards.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "config/attention_config.h"
#include "config/cache_config.h"
#include "config/data_config.h"
#include "config/eval_config.h"
#include "config/model_config.h"
#include "config/train_config.h"

namespace lococo {

struct LogConfig {
  std::string level = "info";  ///< trace, debug, info, warn, error
  int64_t every = 1;           ///< steps between progress lines
  bool tensorboard = true;     ///< write TensorBoard events beside metrics.jsonl
};

enum class CommBackend { kAuto, kSingle, kMpi, kNccl };

struct DistributedConfig {
  /// Auto: single without mpirun; NCCL on GPUs, MPI on CPUs.
  CommBackend backend = CommBackend::kAuto;
  std::string device = "auto";  ///< auto, cpu, cuda (GPU by local rank), cuda:N
  int64_t threads = 0;   ///< CPU threads of one rank; 0: cores / local ranks (recorded, see resume)
  int64_t pipeline = 1;  ///< stages of consecutive layers, a rank each
  std::vector<int64_t> stage_layers;  ///< of each stage; empty: the slowest has the least to do
  bool shard_optimizer = false;  ///< each rank holds AdamW's moments of its part alone (ZeRO-1)
  int64_t timeout_s = 1800;      ///< that ranks wait for one that does not come; 0: for ever
};

enum class ExportKind { kConv, kOfficialConv, kAdapter, kMerged };

struct ExportConfig {
  ExportKind kind = ExportKind::kMerged;
  std::string output;             ///< folder to create; an existing one is refused
  DType dtype = DType::kFloat32;  ///< of a merged model's weights
  int64_t max_shard_bytes = 5000000000;
};

enum class GenerateOutput { kText, kIds };

struct GenerateConfig {
  std::string prompt;       ///< text to continue
  std::string prompt_file;  ///< or a file that holds it; -: standard input
  std::string prompt_ids;   ///< or token ids, "1 2 3", or a file of them
  GenerateOutput output = GenerateOutput::kText;
  int64_t max_new_tokens = 256;  ///< at most
  double temperature = 0.0;      ///< 0: always the most probable token
  int64_t top_k = 0;             ///< draw from so many of the most probable tokens; 0: all
  double top_p = 1.0;          ///< draw from the fewest tokens that have this probability together
  uint64_t seed = 1;           ///< of the draws
  int64_t decode_buffer = 64;  ///< tokens between two compressions
  bool stop_at_eos = true;
  double repetition_penalty = 1.0;  ///< divides what speaks for a token that was there; 1: none
  std::vector<std::string> stop;    ///< texts that end the answer and are not part of it
  bool chat = false;                ///< talk: turns from standard input, one a line
  /// auto: the model's own; none; llama-2, llama-3 or chatml.
  std::string chat_template = "auto";
  std::string system;    ///< the conversation's first message; empty: the template's own, if any
  std::string document;  ///< file that is read before the question or the conversation
  std::string question;  ///< about the document, or alone
};

/// What lococo-bench measures, besides what the other sections say about model, cache and training.
struct BenchConfig {
  int64_t warmup = 1;                      ///< iterations before the timed ones
  int64_t repeat = 3;                      ///< timed iterations
  std::vector<int64_t> batch = {1};        ///< sequences at a time, one measurement each
  std::vector<int64_t> contexts = {4096};  ///< tokens; memory, attention, prefill and decode
  std::vector<std::string> layouts;        ///< scaling: replicas x stages, "4x2"
  int64_t new_tokens = 64;                 ///< decode: tokens that are generated
  bool limit = true;   ///< train-step: measure in the same run what library calls alone would take
  std::string output;  ///< JSON file; empty: print only
  std::string trace;   ///< Chrome trace file of one more iteration, whose kernels are listed too
  bool overwrite = false;  ///< let `output` and `trace` replace files that are no results of ours
};

struct Config {
  ModelConfig model;
  DataConfig data;
  AttentionConfig attention;
  CacheConfig cache;
  TuneConfig tune;
  TrainConfig train;
  TeachConfig teach;
  CheckpointConfig checkpoint;
  LogConfig log;
  DistributedConfig distributed;
  EvalConfig eval;
  ExportConfig export_;  ///< section `export`
  GenerateConfig generate;
  BenchConfig bench;
  std::set<std::string> given;  ///< dotted keys that the file or an override set
};

/// What train.pass auto stands for.
PassKind resolved_pass(const Config& config);
/// Whether training takes sequences through the model block after block.
bool is_blockwise(const Config& config);

}  // namespace lococo
