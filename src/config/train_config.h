// What is trained, and how; checkpoints. config/config.h says what all options have in common.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lococo {

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

  /// Whether anything is trained.
  bool any() const {
    for (const auto& rate : {conv, normalizer, retention, lora, embed, norm, all}) {
      if (rate.value_or(0.0) > 0) return true;
    }
    return false;
  }
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
  bool recompute_attention = false;  ///< with it: the attention too
  int64_t loss_chunk = 2048;         ///< tokens whose logits exist at one time
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

}  // namespace lococo
