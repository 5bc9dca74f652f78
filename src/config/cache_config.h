// The KV cache: its size, its policy, and what of it is learned. config/config.h says what all
// options have in common.
#pragma once

#include <cstdint>

namespace lococo {

enum class CachePolicyKind { kNone, kStreaming, kH2o, kLococo, kRetention };
enum class ScoreKind { kLastBlock, kAccumulated };
enum class KeyKind { kRotated, kUnrotated };
/// Where a cached token stands for RoPE: at its slot, or where it stood in the text.
enum class PositionKind { kSlot, kText };
/// What becomes of a token that retention drops: nothing, or its value is mixed into slots that
/// stay, by a convolution or by the likeness of keys.
enum class MixingKind { kNone, kConv, kSimilarity };
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
  MixingKind mixing = MixingKind::kNone;  ///< beside the slots that retention chose
  bool boundary_targets = false;          ///< train the target of each block's last query too
  bool first_block_gradient = false;      ///< let gradients reach the first block's keys and values
  ConvInit init = ConvInit::kNormal;
  /// Blocks of a window that gradients cross, through caches and compressions; 1: truncate at every
  /// block.
  int64_t bptt_blocks = 1;
  double distill = 0.0;  ///< weight of a loss against full attention

  // What a policy can do, told here alone.
  bool compresses() const { return policy != CachePolicyKind::kNone; }
  bool has_convs() const {
    return policy == CachePolicyKind::kLococo || (has_retention() && mixing == MixingKind::kConv);
  }
  bool has_retention() const { return policy == CachePolicyKind::kRetention; }
  bool learns() const { return has_convs() || has_retention(); }
  /// Whether slots are chosen by scores, and not by their place alone.
  bool ranks_slots() const { return compresses() && policy != CachePolicyKind::kStreaming; }

  /// Whether keys are cached as they stood in the text. What keeps everything never moves a key, so
  /// that turning them anew for each block would change nothing.
  bool caches_rotated() const { return keys == KeyKind::kRotated || !compresses(); }

  /// Whether keys are turned by the place in the text that is kept beside them.
  bool turns_by_place() const { return compresses() && positions == PositionKind::kText; }

  /// Slots that hold a mixture of tokens: LoCoCo's, or with `mixing` retention's massed slots.
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

}  // namespace lococo
