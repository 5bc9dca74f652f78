// NLL of the answers of records.
#pragma once

#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

#include "config/config.h"
#include "dist/communicator.h"
#include "eval/evaluator.h"
#include "model/llama.h"
#include "pass/sequence_pass.h"
#include "records/record_set.h"

namespace lococo {

struct RecordResult {
  std::string path;
  RecordCounts counts;
  /// One a record: nll_sum and targets alone, of its answers; `document` is its line in the file.
  std::vector<SegmentScore> records;
  double seconds = 0;
};

/// Scores records with the config's pass and cache policy, each by itself, eval.batch at a time.
/// Records are dealt out over the ranks; every rank returns the whole result, one for each file.
class RecordEvaluator {
 public:
  RecordEvaluator(const Config& config, std::vector<RecordSet> sets);
  /// `pipeline`: of which `model` is a stage; null: it is whole.
  std::vector<RecordResult> evaluate(Llama& model, torch::Device device, Communicator& communicator,
                                     Pipeline* pipeline = nullptr) const;

 private:
  void score_own_records(const RecordSet& set, SequencePass& pass, Llama& model,
                         torch::Device device, bool shows_progress, const WorkShare& share,
                         RecordResult& result) const;

  Config config_;
  std::vector<RecordSet> sets_;
};

}  // namespace lococo
