// Mean NLL against context length, and the far-repeat NLL that sees long memory.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "data/segments.h"
#include "data/token_file.h"
#include "dist/communicator.h"
#include "model/llama.h"
#include "pass/sequence_pass.h"
#include "pipeline/pipeline.h"

namespace lococo {

/// Sums over one segment's targets, by kind: a repeat is a target whose bigram occurred earlier in
/// the segment (data/repeats.h).
struct SegmentScore {
  int64_t source = 0;
  int64_t document = 0;
  int64_t begin = 0;
  double nll_sum = 0, far_sum = 0, near_sum = 0, new_sum = 0;
  int64_t targets = 0, far_targets = 0, near_targets = 0, new_targets = 0;
};

/// One of the equal parts of a segment, of all segments together. Position t is the target that
/// follows the segment's first t + 1 tokens.
struct PositionBucket {
  int64_t begin = 0, end = 0;  ///< positions [begin, end)
  double nll_sum = 0;
  int64_t targets = 0;

  double mean() const { return nll_sum / static_cast<double>(targets); }
};

/// [0, length) in `count` parts whose sizes differ by one at most, with empty sums; none for 0.
/// count <= length.
std::vector<PositionBucket> make_position_buckets(int64_t length, int64_t count);

struct LengthResult {
  int64_t length = 0;  ///< of eval.lengths
  int64_t inputs = 0;  ///< tokens, and targets, of a segment: length, or less by 1 (eval.windows)
  std::vector<SegmentScore> segments;
  std::vector<PositionBucket> by_position;  ///< config.eval.position_buckets of them
  /// NLL of every target of every segment; empty unless config.eval.per_token names a file.
  std::vector<std::vector<float>> nll;
  std::vector<std::vector<int64_t>> ids;  ///< beside nll: the inputs and the last target
  double seconds = 0;
  int64_t peak_memory_bytes = 0;
};

/// Scores the validation files with the config's pass and cache policy at every length of
/// config.eval.lengths. Segments are dealt out over the ranks; every rank returns the whole result.
/// One pass serves all lengths of an evaluation, so that what it records of a block is recorded
/// once; its buffers are given back at the end, because a training between two evaluations may need
/// the memory.
class Evaluator {
 public:
  /// Throws UserError when a length has no segment: nobody should wait for that.
  Evaluator(const Config& config, std::vector<std::shared_ptr<const TokenFile>> files);
  /// `pipeline`: of which `model` is a stage; null: it is whole.
  std::vector<LengthResult> evaluate(Llama& model, torch::Device device, Communicator& communicator,
                                     Pipeline* pipeline = nullptr) const;

 private:
  LengthResult evaluate_length(SequencePass& pass, Llama& model, torch::Device device,
                               Communicator& communicator, const WorkShare& share,
                               size_t which) const;
  void score_own_segments(SequencePass& pass, Llama& model, torch::Device device,
                          bool shows_progress, const WorkShare& share,
                          const std::vector<Segment>& segments, LengthResult& result) const;

  Config config_;
  std::vector<std::shared_ptr<const TokenFile>> files_;
  std::vector<std::vector<Segment>> segments_;  ///< of each of eval.lengths
};

/// One line about the first segment whose NLL is not finite, where no figure means anything; empty
/// when there is none.
std::string non_finite_problem(const std::vector<LengthResult>& results);

}  // namespace lococo
