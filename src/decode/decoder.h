// Inference at constant memory: prompts go through in blocks, then token after token is appended
// to static caches that the policy compresses whenever they are full.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "decode/decode_cursor.h"
#include "decode/decode_rows.h"
#include "decode/decode_stack.h"
#include "decode/row_runs.h"
#include "model/llama.h"
#include "pipeline/stage_ends.h"
#include "tensor/kit/repeated_work.h"

namespace lococo {

struct DecoderOptions {
  int64_t batch = 1;           ///< B, sequences that are decoded together
  int64_t decode_buffer = 64;  ///< a cache is compressed when it exceeds slots + decode_buffer
  int64_t max_tokens = 0;      ///< policy none alone: tokens that a row may have in all
  /// Policy none alone: tokens of a row that there is memory for from the beginning; it grows with
  /// them, up to max_tokens. 0: max_tokens.
  int64_t first_tokens = 0;
  bool cuda_graphs = true;  ///< replay work as CUDA graphs where the device can
};

/// A decoder at one moment (Decoder::save).
struct DecoderSnapshot {
  RowsSnapshot rows;
  torch::Tensor logits_BV;
};

/// Decodes B sequences together, each of its own length: a row has the blocks, positions and
/// compressions that it would have alone, and rows never influence each other (one that is finished
/// may be fed anything). Neighbouring rows in one state work as one, so that prompts of equal
/// length side by side are read at full speed; the last, shorter blocks of others are read one by
/// one.
///
/// Attention as in training and evaluation: with cache.keys rotated, positions are those of the
/// sequence; unrotated, slot numbers. Scores decide compressions as in training, with each decoded
/// token a query more: `accumulated` keeps adding and fades by score_decay a block of tokens,
/// however often decoding compresses; `last_block` counts the queries since the last compression
/// (or of the prompt's last block, before one).
///
/// With a part of a model it is one stage of several that decode together: all make the same calls
/// with the same tokens, and each has the caches of its own layers. Blocks of a prompt go through
/// the stages one behind the other. The last stage has the logits; the others return zeros.
class Decoder {
 public:
  /// Told after each block how many of the longest row's tokens are through.
  using OnBlock = std::function<void(int64_t)>;

  /// Allocates every cache, for the largest block of a prompt too: memory does not grow with the
  /// tokens (but as first_tokens says). The model must not change while the decoder lives. `line`:
  /// to the other stages.
  Decoder(Llama model, const DecoderOptions& options, std::shared_ptr<StageLine> line = nullptr);

  /// Starts new sequences: the next extend() reads their first tokens.
  void reset();

  /// Appends to each row its tokens (int64 [T] on the model's device; may be none for a row that
  /// has some already), in blocks from where the row stands, as make_step_plan has them from the
  /// beginning. Whole blocks of a kind that was seen before are replayed. Returns the logits of
  /// each row's next token, [B, V] float32 (float64 for a model of float64); they are overwritten
  /// by the next call. With `on_block` (of all stages or none) the host waits for the device after
  /// each block, after the last one for all stages.
  torch::Tensor extend(const std::vector<torch::Tensor>& tokens_T, const OnBlock& on_block = {});

  /// The same without any compression, however many blocks there are. There must be room for the
  /// tokens: with a cache policy slots + decode_buffer + 1 in all.
  torch::Tensor append(const std::vector<torch::Tensor>& tokens_T);

  /// reset() and extend() with prompts of one length: tokens_BT int64, T >= 1.
  torch::Tensor prefill(const torch::Tensor& tokens_BT, const OnBlock& on_block = {});

  /// Compresses every row that holds more than cache.slots slots down to them, so that what follows
  /// sees what the policy keeps and no more. With policy none nothing happens.
  void compress();

  /// Appends one token to each sequence, int64 [B] on the device, and returns the logits of the
  /// next; they are overwritten by the next call. The host does not wait for the device
  /// (but with dynamic RoPE scaling, whose angles are made on the CPU for every length).
  torch::Tensor step(const torch::Tensor& tokens_B);

  /// Whether the logits are here, and not with the last stage alone.
  bool has_logits() const { return model_->range().ends_model(); }
  /// What the stage with the logits has made of them, on all stages: its values of `own`, which has
  /// one shape and dtype everywhere.
  torch::Tensor shared(torch::Tensor own) const { return ends_.shared(std::move(own)); }

  /// What the next tokens depend on, and back to it, as often as wanted. Without a cache policy the
  /// caches are not copied, and only reset() and a return to an earlier moment end that
  /// (DecodeRows::save).
  DecoderSnapshot save();
  void restore(const DecoderSnapshot& snapshot);

  int64_t batch() const { return options_.batch; }
  /// Slots in use of every layer, and tokens seen.
  const RowState& row(int64_t row) const { return rows_.states().at(static_cast<size_t>(row)); }
  int64_t capacity() const { return capacity_; }  ///< C; grows where first_tokens is given
  /// The C slots of a layer, those in use first.
  const DecodeCache& cache(int64_t layer) const { return caches_.at(static_cast<size_t>(layer)); }
  int64_t cache_bytes() const { return rows_.bytes(); }  ///< of all layers, rows and their slots
  torch::Device device() const { return device_; }

 private:
  bool may_record() const;
  bool begins_model() const { return model_->range().begins_model(); }
  /// Of the longest row with its tokens, for which there may be room.
  int64_t checked_length(const std::vector<torch::Tensor>& tokens_T) const;
  void make_room(int64_t tokens);
  torch::Tensor read(const std::vector<torch::Tensor>& tokens_T, bool may_compress,
                     const OnBlock& on_block);
  void run_block(const RowRun& run, const torch::Tensor& tokens_BL, bool may_compress);
  void run_step();

  Llama model_;
  CacheConfig config_;
  DecoderOptions options_;
  torch::Device device_;
  int64_t capacity_;
  DecodeStack stack_;
  // Everything that recorded work reads or writes stays where it is.
  DecodeRows rows_;
  std::vector<DecodeCache> caches_;   ///< the first C slots
  torch::Tensor block_BL_, last_BE_;  ///< a block's tokens, and the last hidden state of each row
  torch::Tensor tokens_B_, logits_BV_;
  DecodeCursor cursor_;
  StageEnds ends_;
  RepeatedWork step_;
};

}  // namespace lococo
