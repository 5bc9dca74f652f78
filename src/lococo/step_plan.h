// The order of work of one sequence, decided before any tensor exists: which blocks run, where the
// cache is compressed and where gradients are cut. The blockwise pass executes it; so can a
// pipeline or a captured graph.
#pragma once

#include <cstdint>
#include <vector>

#include "config/cache_config.h"

namespace lococo {

/// One block of a sequence: tokens [begin, end).
struct BlockStep {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t cached = 0;     ///< slots in the cache when the block arrives, before a compression
  int64_t slots = 0;      ///< slots that stay when the cache is compressed
  bool compress = false;  ///< shrink the cache to `slots` before the block attends
  /// Cut gradients into this block's own keys and values (official first block).
  bool detach_keys = false;
  // Positions text alone (CacheConfig::frame_origin):
  int64_t origin = 0;  ///< place in the text that is 0 to RoPE in this block
  int64_t shift = 0;   ///< by how much it has moved since the block before

  int64_t document = 0;  ///< where the document begins whose positions and cache the block has

  int64_t length() const { return end - begin; }  ///< L
  /// The block is a document's first: the cache is emptied when it arrives.
  bool begins_document() const { return begin == document; }
  /// The place of its first token in the document.
  int64_t place() const { return begin - document; }
  /// S: the keys that the block's last query sees, and the cache's size after the block.
  int64_t attended() const { return (compress ? slots : cached) + length(); }
};

/// The block of `length` tokens that follows `begin` tokens of a sequence whose cache has `cached`
/// slots now, in a frame that begins at `origin`.
BlockStep next_step(const CacheConfig& config, int64_t begin, int64_t cached, int64_t length,
                    int64_t origin = 0);

/// Covers [0, context_length) with blocks of config.block (the last may be shorter). With policy
/// none nothing is ever compressed.
std::vector<BlockStep> make_step_plan(const CacheConfig& config, int64_t context_length);

/// The same for one document of a longer sequence, its tokens [begin, end): it begins with an empty
/// cache and at position 0.
std::vector<BlockStep> make_document_plan(const CacheConfig& config, int64_t begin, int64_t end);

/// What buffers that serve every block of a plan must hold.
struct PlanExtent {
  int64_t length = 0;    ///< L of the longest block
  int64_t attended = 0;  ///< S of the largest cache
};
PlanExtent extent_of(const std::vector<BlockStep>& plan);

}  // namespace lococo
