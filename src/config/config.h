// Every option of every tool as plain structs with defaults and units; config/config_yaml.h reads
// and checks them. Each module is given its own struct and never the whole, so that layers above do
// not leak downwards.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/model_shape.h"

namespace lococo {

/// Compute type of activations and frozen weights; what is trained always keeps a float32 master
/// copy.
enum class DType { kFloat32, kBFloat16 };

struct ModelConfig {
  /// Hugging Face folder (config.json + safetensors); empty: random weights of shape `init`.
  std::string path;
  /// Checkpoint or export folder of ours, or a PEFT adapter folder; empty: none.
  std::string adapter;
  ModelShape init;         ///< shape of a model with random weights, used when `path` is empty
  double init_std = 0.02;  ///< standard deviation of random linear and embedding weights
  DType dtype = DType::kFloat32;
  /// Replaces the scaling that the checkpoint's own config.json names; absent: the checkpoint's.
  std::optional<RopeScaling> rope_scaling;
  /// Tokens that linear interpolation of the positions makes room for, on top of a linear scaling
  /// that the checkpoint has; 0: none.
  int64_t interpolate_to = 0;
};

enum class Sampling {
  /// Windows of context_length + 1 tokens at uniformly random starts of the joined documents.
  kRandomWindow,
  /// An epoch visits every document once in shuffled order, joined and cut without a gap.
  kPacked,
};

struct DataSource {
  /// Text file, JSONL (.jsonl, .jsonl.zst), folder of them, token file, or raw tokens (.bin).
  std::string path;
  double weight = 1.0;  ///< share of the sequences from this source, relative to the others
};

enum class RawTokenType { kNone, kUint16, kUint32 };

/// How a record's instruction or conversation becomes one text (docs/sft.md).
enum class RecordTemplate { kAuto, kPlain, kLlama2, kLlama3, kChatml, kLongLora };
/// What to do with a record that is longer than a sequence.
enum class TooLong { kError, kDrop, kTruncatePrompt, kSplit };

struct DataConfig {
  std::string tokenizer;  ///< SentencePiece or .json; empty: that of `model.path`
  std::vector<DataSource> train;
  std::vector<DataSource> validation;
  std::string cache_dir;  ///< where lococo-prepare puts token files; empty: beside the source
  RawTokenType raw_dtype = RawTokenType::kNone;  ///< element type of raw .bin token files
  std::string text_field = "text";               ///< key of a JSONL record that holds the text
  int64_t context_length = 4096;                 ///< tokens of a training sequence
  Sampling sampling = Sampling::kRandomWindow;
  int64_t min_document_tokens = 0;  ///< shorter documents are left out (their number is printed)
  bool add_bos = true;              ///< a document is [BOS] + ids + [EOS]; BOS if there is one
  bool add_eos = true;
  double lesson_share = 0.0;  ///< of the sequences that are lessons (src/lessons)
  /// Texts, as paths of sources, in which lessons put what they ask; empty: those of `train`.
  std::vector<std::string> lesson_texts;
  int64_t far = 256;  ///< a target is far when its bigram came last more tokens before
  /// JSON and JSONL files of records with answers, to train on in place of `train`, and to
  /// evaluate.
  std::vector<DataSource> records;
  std::vector<DataSource> validation_records;
  RecordTemplate record_template = RecordTemplate::kAuto;
  TooLong on_too_long = TooLong::kError;
  bool packing = false;          ///< several records in one sequence, none seeing another
  bool group_by_length = false;  ///< records of like length in one micro-batch
};

/// Which implementation of causal attention runs; tensor/attention/attention.h: what each needs.
enum class AttentionBackend { kAuto, kReference, kFlash, kCudnn };

/// What queries see when a whole sequence is trained on: everything before them, segments with half
/// of the heads shifted (S2-Attn, LongLoRA), or these with sinks (SF-Attn, SinkLoRA).
enum class PatternKind { kFull, kS2, kSf };

struct AttentionConfig {
  AttentionBackend backend = AttentionBackend::kAuto;
  PatternKind pattern = PatternKind::kFull;
  /// Tokens of a segment, as a number or as a share of data.context_length; absent: a quarter.
  std::optional<int64_t> group_tokens;
  std::optional<double> group_fraction;
  /// Share of the upper half of the heads that is shifted; absent: 1 for s2, 0.5 for sf.
  std::optional<double> shift_fraction;
  std::optional<int64_t> sinks;  ///< absent: 0 for s2, 4 for sf

  /// Tokens of a segment in training sequences of `context_length`.
  int64_t group(int64_t context_length) const;
  /// Of `heads` query heads.
  int64_t shifted_heads(int64_t heads) const;
  int64_t sink_tokens() const;
};

enum class CachePolicyKind { kNone, kStreaming, kH2o, kLococo, kRetention };
enum class ScoreKind { kLastBlock, kAccumulated };
enum class KeyKind { kRotated, kUnrotated };
/// Where a cached token stands for RoPE: at its slot, or where it stood in the text.
enum class PositionKind { kSlot, kText };
enum class ConvInit { kNormal, kFanIn, kIdentity };
/// What training may make of a normalizer: any number, or a share in [0, 1].
enum class NormalizerRange { kUnbounded, kUnit };

/// What survives between blocks (stateful, may learn). The defaults are the official LoCoCo code's
/// behaviour.
struct CacheConfig {
  CachePolicyKind policy = CachePolicyKind::kNone;
  int64_t slots = 512;  ///< M: slots of a layer's cache after a compression
  int64_t block = 512;  ///< tokens of one block
  /// Mixed slots = int(slots * (1 - keep_fraction)); the rest keeps tokens unchanged.
  double keep_fraction = 0.5;
  int64_t kernel_size = 21;  ///< odd
  int64_t conv_layers = 1;
  int64_t expand = 1;                ///< hidden channels of a deeper convolution, in mixed slots
  double normalizer_init = 0.5;      ///< share of the convolution in a mixed slot's weights
  bool normalizer_per_head = false;  ///< one share for each key-value head, not one a layer
  bool mass_channel = false;         ///< the convolution sees the scores too
  bool mix_keys = true;              ///< false: a mixed slot has the key of its residual token
  int64_t local = 0;                 ///< newest tokens always kept
  int64_t sinks = 0;                 ///< first tokens always kept
  int64_t buffer = 16;               ///< compress only when the cache exceeds slots + buffer
  NormalizerRange normalizer_range = NormalizerRange::kUnbounded;
  ScoreKind scores = ScoreKind::kLastBlock;
  double score_decay = 1.0;    ///< factor on the accumulated scores for each block of new tokens
  int64_t score_distance = 0;  ///< slots from key to query from which attention counts as score
  KeyKind keys = KeyKind::kRotated;
  PositionKind positions = PositionKind::kSlot;  ///< of unrotated keys
  /// positions text: no cached token is further from a block than so many tokens; one that was is
  /// moved up. 0: what the base's positions leave.
  int64_t position_cap = 0;
  int64_t retention_units = 128;  ///< hidden units of a layer's gate (retention)
  /// Share of the slots between sinks and newest tokens that the learned score fills alone; the
  /// rest goes by score and attention's mass (retention).
  double alone_fraction = 0.5;
  bool boundary_targets = false;      ///< train the target of each block's last query too
  bool first_block_gradient = false;  ///< let gradients reach the first block's keys and values
  ConvInit init = ConvInit::kNormal;
  /// Blocks of a window that gradients cross, through caches and compressions; 1: truncate at every
  /// block.
  int64_t bptt_blocks = 1;
  double distill = 0.0;  ///< weight of a loss against full attention

  // What a policy can do, told here alone.
  bool compresses() const { return policy != CachePolicyKind::kNone; }
  bool has_convs() const { return policy == CachePolicyKind::kLococo; }
  bool has_retention() const { return policy == CachePolicyKind::kRetention; }
  bool learns() const { return has_convs() || has_retention(); }
  /// Whether slots are chosen by scores, and not by their place alone.
  bool ranks_slots() const { return compresses() && policy != CachePolicyKind::kStreaming; }

  /// Slots that hold a mixture of tokens (0 unless policy is lococo).
  int64_t mixed_slots() const;
  /// Slots that retention fills by the learned score alone, and by score and mass.
  int64_t alone_slots() const;
  int64_t massed_slots() const { return slots - sinks - local - alone_slots(); }
  /// The place in the text that is 0 to RoPE when a block begins at `begin` (positions text).
  int64_t frame_origin(int64_t begin) const;
  /// What a compression of a cache of `cached` slots multiplies scores by: score_decay to the power
  /// of the blocks that came since the last one, so that decoding, which compresses more often,
  /// lets scores fade at the same rate.
  double score_factor(int64_t cached) const;
  /// Slots that hold tokens unchanged: sinks, local and heavy hitters.
  int64_t kept_slots() const { return slots - mixed_slots(); }
};

/// A group is trained when its learning rate is given and positive; everything else stays
/// bit-identical.
struct TuneConfig {
  std::optional<double> conv;        ///< learning rate of the convolution kernels
  std::optional<double> normalizer;  ///< of the normalizers; absent: conv's
  std::optional<double> retention;   ///< of the gates of learned retention
  std::optional<double> lora;
  std::optional<double> embed;  ///< token embedding (and the tied head)
  std::optional<double> norm;   ///< all RMSNorm weights
  std::optional<double> all;    ///< every weight of the base model (full fine-tuning, pretraining)
  int64_t lora_rank = 8;
  double lora_alpha = 16.0;
  std::vector<std::string> lora_targets = {"q_proj", "k_proj", "v_proj", "o_proj"};
};

enum class PassKind { kAuto, kBlockwise, kFullSequence, kTeach };
enum class Decay { kConstant, kLinear, kCosine };
enum class Resume { kAuto, kNever, kPath };
enum class ResumeChanged { kRefuse, kAccept };

struct TrainConfig {
  int64_t steps = 1000;
  int64_t sequences_per_step = 16;  ///< over all ranks
  int64_t micro_batch = 1;          ///< sequences of one forward pass on one rank
  uint64_t seed = 1;
  std::string output;             ///< folder of checkpoints, metrics and the effective config
  Resume resume = Resume::kAuto;  ///< auto: the newest good checkpoint in `output`, if any
  std::string resume_path;        ///< the checkpoint folder when `resume` names one
  /// What to do about options that differ from the checkpoint's and change what is trained.
  ResumeChanged resume_changed = ResumeChanged::kRefuse;
  /// Auto: teach when gates are tuned, else blockwise when a cache policy is set, else
  /// full_sequence.
  PassKind pass = PassKind::kAuto;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0.0;  ///< not applied to biases, norms and normalizers
  double clip = 1.0;          ///< largest gradient norm; 0: no clipping
  int64_t warmup_steps = 0;
  Decay decay = Decay::kLinear;
  double final_lr_fraction = 0.0;  ///< of the peak, at the last step
  /// full_sequence: recompute each layer in the backward pass.
  bool activation_checkpointing = false;
  int64_t loss_chunk = 2048;  ///< tokens whose logits exist at one time
  /// Blockwise on a GPU: record each kind of block as a CUDA graph and replay it.
  bool cuda_graphs = true;
  /// Asks for kernels whose sums repeat, slower ones; full fine-tuning was seen to differ all the
  /// same.
  bool deterministic = false;
};

/// How a learned memory is taught end to end (train.pass teach; docs/memory.md).
struct TeachConfig {
  std::vector<int64_t> slots = {128, 256, 512};  ///< of each step one, drawn
  int64_t block = 0;                             ///< tokens of a block; 0: as many as the slots
  double temperature = 0.5;                      ///< of the soft choice at the first step
  double final_temperature = 0.05;  ///< at the last; between them it falls geometrically
  double far_weight = 4.0;     ///< of a far repeat's divergence from full attention; of others 1
  double answer_weight = 0.3;  ///< of the mean loss over answers, beside that over all
  double answer_truth = 0.5;   ///< share of an answer itself, beside full attention's, in its loss
};

struct CheckpointConfig {
  int64_t every = 0;      ///< steps between checkpoints; 0: only at the end and on signals
  int64_t keep_last = 2;  ///< older checkpoints are removed after a new one is complete
};

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
  int64_t threads = 0;  ///< CPU threads of one rank; 0: cores / local ranks (recorded, see resume)
};

/// What lococo-eval measures; all but perplexity ask questions about long texts (src/tasks).
enum class EvalTask { kPerplexity, kPasskey, kNeedle, kRuler, kChoice, kQa, kManyShot };
/// Who answers a task's questions: the model, or a test of the task itself.
enum class Answerer { kModel, kOracle, kRandom };
/// What surrounds that which is asked: the texts of data.validation, or one sentence repeated.
enum class HayKind { kTexts, kFiller };
/// Whose templates, words and names the generator of questions takes; the parts do not overlap.
enum class QuestionSplit { kTrain, kValidation, kTest };

/// The questions of a task; eval.lengths are the tokens of their prompts.
struct EvalTaskConfig {
  EvalTask task = EvalTask::kPerplexity;
  int64_t trials = 20;  ///< questions of one cell: of a kind, length and depth
  uint64_t seed = 1;    ///< of everything that is drawn
  /// needle: digits, words, names, paraphrase, multikey; ruler: its tasks; empty: all.
  std::vector<std::string> kinds;
  /// Places of what is asked, in percent of the text; empty: at random in each trial.
  std::vector<int64_t> depths;
  HayKind hay = HayKind::kTexts;
  QuestionSplit split = QuestionSplit::kTest;
  int64_t distance = 0;     ///< tokens at least between what is asked and the question
  int64_t distractors = 0;  ///< other facts of the same form in the text
  std::string questions;    ///< JSONL of choice, qa and many_shot
  Answerer answerer = Answerer::kModel;
  std::string samples;  ///< JSONL of every prompt, answer and score; empty: none
};

/// What the queries of an evaluation see: everything before them, or what training lets them see.
enum class EvalPattern { kFull, kTraining };
/// Where an evaluation's segments begin: at eval.stride, or as LongLoRA's windows do.
enum class EvalWindows { kStride, kLongLora };

struct EvalConfig {
  EvalTaskConfig task;  ///< keys of section eval, like those below
  std::vector<int64_t> lengths = {4096};
  int64_t max_tokens = 1310720;       ///< per length: the first max_tokens / length segments
  int64_t stride = 0;                 ///< tokens between segment starts; 0: the length
  int64_t segments_per_document = 0;  ///< at most; 0: all
  EvalPattern pattern = EvalPattern::kFull;
  EvalWindows windows = EvalWindows::kStride;
  int64_t far = 1024;  ///< a repeat is far when its latest earlier occurrence is more tokens back
  std::string output;  ///< JSON file; empty: print only
  /// NLL of every target: .jsonl, or .bin (float32, segment after segment); empty: none.
  std::string per_token;
  bool overwrite = false;    ///< let what is written replace files that are no results of ours
  bool per_segment = false;  ///< write every segment's figures too
  /// Equal parts of a segment whose mean NLL is reported one by one; 0: none.
  int64_t position_buckets = 0;
  int64_t batch = 1;  ///< segments of one forward pass
  int64_t every = 0;  ///< lococo-train: steps between evaluations on data.validation; 0: never
  /// lococo-train: a short evaluation along the segment when the last step is done.
  bool after_training = true;
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
