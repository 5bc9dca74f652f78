// How a batch of sequences goes through the model: all at once, or block after block with a cache.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "config/config.h"
#include "model/llama.h"
#include "pass/batch.h"
#include "pass/pass_result.h"
#include "pass/whole_runner.h"

namespace lococo {

/// Every call starts with empty caches, whatever was run before. Tokens as in Batch.
class SequencePass {
 public:
  virtual ~SequencePass() = default;

  /// Whether train() makes something of the kinds of targets; a pass that does not gets none.
  virtual bool wants_kinds() const { return false; }

  /// Before the batches of optimizer step `step` (from 0), for a pass that changes over a run.
  virtual void begin_step(int64_t /*step*/) {}

  /// Forward and backward; gradients of the loss SUM are added to the trainable parameters' .grad
  /// (divide by the global target count afterwards, so that accumulation and ranks weigh every
  /// target alike). Targets of TargetKind::kIgnored do not count.
  virtual PassResult train(Llama& model, const Batch& batch) = 0;

  /// train() of `count` batches, whose results come in their order; each is made (`batch`, of its
  /// number) when its turn has come. A pass may have several on their way at one time.
  using BatchAt = std::function<Batch(int64_t)>;
  virtual std::vector<PassResult> train_all(Llama& model, int64_t count, const BatchAt& batch);

  /// NLL of every target, float32 [B, T], without gradients. Every target counts, block boundaries
  /// included.
  virtual torch::Tensor evaluate(Llama& model, const torch::Tensor& tokens_BT) = 0;
};

/// Blockwise: executes make_step_plan(cache); backward after every block, or over windows of
/// cache.bptt_blocks (bptt_windows.h), so memory does not grow with T (but for the teacher of
/// cache.distill, which sees the whole sequence, and with which kinds and documents are refused).
/// Rows with documents run one by one, each document from an empty cache. `cuda_graphs`: on a GPU
/// each kind of block is recorded once and replayed (block_runner.h); the pass then keeps its
/// buffers between calls. `wants_kinds`: some targets will have to be ignored.
std::unique_ptr<SequencePass> make_blockwise_pass(const CacheConfig& cache, int64_t loss_chunk,
                                                  bool cuda_graphs = true,
                                                  bool wants_kinds = false);

/// The whole sequence at once, with activation checkpointing where asked. `wants_kinds`: some
/// targets will have to be ignored.
std::unique_ptr<SequencePass> make_full_sequence_pass(int64_t loss_chunk, bool checkpoint_layers,
                                                      bool wants_kinds = false,
                                                      const PassPattern& pattern = {});

/// What a config says about whole sequences.
WholeOptions whole_options(const Config& config);

/// Whether some targets of the config's training do not count.
bool has_kinds(const Config& config);

/// The pass that the config asks for, with the whole model.
std::unique_ptr<SequencePass> make_pass(const Config& config);

}  // namespace lococo
