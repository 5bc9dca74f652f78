// Training with gradients that cross several blocks: through what a cache keeps and through its
// compressions, so that an answer can teach the compression that dropped the fact.
#pragma once

#include <torch/types.h>

#include "config/cache_config.h"
#include "model/llama.h"
#include "pass/sequence_pass.h"

namespace lococo {

/// Forward and backward of make_step_plan(cache) in windows of cache.bptt_blocks = W consecutive
/// blocks; the last of a document may be shorter. The caches are detached where a window begins.
/// Inside it gradients flow through the keys and values that blocks leave in the caches, and
/// through each compression's convolution and normalizer; the choice of slots, which is by
/// attention mass, carries none. So the gradient of a window's loss sum is exact, except that
/// step.detach_keys holds as ever. W = 1 is what BlockRunner computes.
///
/// Each block but a window's last runs twice: without gradients to get the caches that the next
/// block meets, and from its own incoming caches again for the backward pass, which goes from the
/// last block to the first. Memory is the activations of one block, the caches before each of W
/// blocks and two gradients of a cache, whatever the length of the sequence. No CUDA graphs.
///
/// Adds the gradients of the loss sum to the trainable parameters' `.grad`, as SequencePass::train.
/// The loss sum of a float64 model stays float64.
PassResult train_in_windows(Llama& model, const Batch& batch, const CacheConfig& cache,
                            int64_t loss_chunk);

}  // namespace lococo
