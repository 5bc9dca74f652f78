// What the queries of a training step see, and which kernel computes it. config/config.h says what
// all options have in common.
#pragma once

#include <cstdint>
#include <optional>

namespace lococo {

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

}  // namespace lococo
