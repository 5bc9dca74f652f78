// Inference at constant memory: a prompt goes through in blocks, then token after token is appended
// to static caches that the policy compresses whenever they are full.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "generate/decode_stack.h"
#include "model/llama.h"
#include "model/rope.h"
#include "pass/block_kinds.h"
#include "tensor/kit/repeated_work.h"

namespace lococo {

struct DecoderOptions {
  int64_t batch = 1;           ///< B, sequences that are decoded together
  int64_t decode_buffer = 64;  ///< a cache is compressed when it exceeds slots + decode_buffer
  int64_t max_tokens = 0;      ///< policy none alone: tokens that prompt and answer may have
  bool cuda_graphs = true;     ///< replay work as CUDA graphs where the device can
};

/// Decodes sequences of ONE length together: every row has the same number of prompt tokens, the
/// same positions and the same compressions. Ragged prompts are not supported (group rows by
/// length, or use one decoder for each); rows never influence each other, so a row that is finished
/// may be fed anything.
///
/// Attention as in training and evaluation: with cache.keys rotated, positions are those of the
/// sequence; unrotated, slot numbers. Scores decide compressions as in training, with each decoded
/// token a query more: `accumulated` keeps adding and fades by score_decay a block of tokens,
/// however often decoding compresses; `last_block` counts the queries since the last compression
/// (or of the prompt's last block, before one).
class Decoder {
 public:
  /// Allocates every cache, for the largest block of a prompt too: memory does not grow with the
  /// tokens. The model must not change while the decoder lives.
  Decoder(Llama model, const DecoderOptions& options);

  /// Starts new sequences: tokens_BT int64 on the model's device, T >= 1, run by make_step_plan in
  /// blocks, exactly as an evaluation does; whole blocks of a kind that was seen before are
  /// replayed. Returns the logits of the token after the prompt, [B, V] float32 (float64 for a
  /// model of float64). `on_block`, where given, hears after each block how many tokens of the
  /// prompt are through, and the host waits for the device then.
  torch::Tensor prefill(const torch::Tensor& tokens_BT,
                        const std::function<void(int64_t)>& on_block = {});

  /// Appends one token to each sequence, int64 [B] on the device, and returns the logits of the
  /// next; they are overwritten by the next call. The host does not wait for the device
  /// (but with dynamic RoPE scaling, whose angles are made on the CPU for every length).
  torch::Tensor step(const torch::Tensor& tokens_B);

  int64_t batch() const { return options_.batch; }
  int64_t size() const { return size_; }          ///< slots in use, of every layer and row
  int64_t position() const { return position_; }  ///< tokens seen
  int64_t capacity() const { return capacity_; }  ///< C
  int64_t cache_bytes() const;                    ///< of all layers, rows and their slots
  torch::Device device() const { return device_; }

 private:
  bool may_record() const;
  bool must_compress() const;
  void run_block(const torch::Tensor& tokens_BL, const BlockStep& step);
  void compress(bool seen_again);
  void compress_layer(size_t n, int64_t size);
  void set_cursor();
  void fill_angles(int64_t begin, int64_t rows);
  void run_step();

  Llama model_;
  CacheConfig config_;
  DecoderOptions options_;
  torch::Device device_;
  int64_t capacity_;
  Rope rope_;
  DecodeStack stack_;
  // Everything that recorded work reads or writes stays where it is.
  std::vector<CacheState> states_;   ///< whose homes hold the caches
  std::vector<DecodeCache> caches_;  ///< the first C slots of the homes
  DecodePosition angles_;
  torch::Tensor block_BL_, last_BE_;  ///< a block's tokens, and its last hidden state
  torch::Tensor tokens_B_, logits_BV_;
  int64_t size_ = 0, position_ = 0;
  BlockKinds blocks_;
  std::map<int64_t, RepeatedWork> compressions_;  ///< by the size before
  RepeatedWork step_;
};

}  // namespace lococo
