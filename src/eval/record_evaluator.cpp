#include "eval/record_evaluator.h"

#include <algorithm>

#include "core/elapsed.h"
#include "core/progress_count.h"
#include "pipeline/pipeline_pass.h"
#include "records/packing.h"
#include "report/task_progress.h"
#include "tensor/kit/torch.h"

namespace lococo {
namespace {

/// Tokens of rows of records in one tensor [B, T + 1], padded on the right. Blockwise, blocks are
/// whole, so that one recording serves the last ones too.
torch::Tensor padded(const std::vector<const TokenRecord*>& records, int64_t step) {
  size_t longest = 0;
  for (const auto* record : records) longest = std::max(longest, record->ids.size());
  const int64_t T = rounded_up(static_cast<int64_t>(longest) - 1, step);
  auto tokens_BT = torch::zeros({static_cast<int64_t>(records.size()), T + 1}, torch::kInt64);
  for (size_t b = 0; b < records.size(); ++b) {
    const auto& ids = records[b]->ids;
    tokens_BT[static_cast<int64_t>(b)]
        .narrow(/*dim=*/0, 0, static_cast<int64_t>(ids.size()))
        .copy_(torch::tensor(ids, torch::kInt64));
  }
  return tokens_BT;
}

void sum_over_ranks(Communicator& communicator, std::vector<SegmentScore>& records) {
  std::vector<double> sums;
  std::vector<int64_t> counts;
  for (const auto& score : records) {
    sums.push_back(score.nll_sum);
    counts.push_back(score.targets);
  }
  communicator.all_reduce_sum_numbers(sums, counts);
  for (size_t i = 0; i < records.size(); ++i) {
    records[i].nll_sum = sums[i];
    records[i].targets = counts[i];
  }
}

}  // namespace

RecordEvaluator::RecordEvaluator(const Config& config, std::vector<RecordSet> sets)
    : config_(config), sets_(std::move(sets)) {}

std::vector<RecordResult> RecordEvaluator::evaluate(Llama& model, torch::Device device,
                                                    Communicator& communicator,
                                                    Pipeline* pipeline) const {
  const torch::NoGradGuard no_grad;
  const auto pass = make_pass(config_, pipeline);
  std::vector<RecordResult> results;
  for (const RecordSet& set : sets_) {
    const auto started = steady_now();
    RecordResult result;
    result.path = set.path;
    result.counts = set.counts;
    for (const int64_t line : set.lines) {
      SegmentScore score;
      score.document = line;
      result.records.push_back(score);
    }
    score_own_records(set, *pass, model, device, communicator.is_main(),
                      share_of(communicator, pipeline), result);
    if (communicator.size() > 1) sum_over_ranks(communicator, result.records);
    result.seconds = seconds_since(started);
    results.push_back(std::move(result));
  }
  return results;
}

void RecordEvaluator::score_own_records(const RecordSet& set, SequencePass& pass, Llama& model,
                                        torch::Device device, bool shows_progress,
                                        const WorkShare& share, RecordResult& result) const {
  const auto ranks = static_cast<size_t>(share.step);
  std::vector<size_t> mine;
  for (auto i = static_cast<size_t>(share.first); i < set.records.size(); i += ranks)
    mine.push_back(i);
  const auto batch = static_cast<size_t>(config_.eval.batch);
  const int64_t step = resolved_pass(config_) == PassKind::kFullSequence ? 1 : config_.cache.block;
  TaskProgress progress("evaluating " + set.path, "records", static_cast<int64_t>(mine.size()),
                        shows_progress);
  for (size_t first = 0; first < mine.size(); first += batch) {
    std::vector<const TokenRecord*> records;
    for (size_t i = first; i < std::min(first + batch, mine.size()); ++i)
      records.push_back(&set.records[mine[i]]);
    auto nll_BT = pass.evaluate(model, padded(records, step).to(device));
    if (share.reports) nll_BT = nll_BT.cpu().contiguous();
    for (size_t b = 0; b < records.size() && share.reports; ++b) {
      const float* nll = nll_BT.const_data_ptr<float>() + static_cast<int64_t>(b) * nll_BT.size(1);
      SegmentScore& score = result.records[mine[first + b]];
      for (const TokenSpan& answer : records[b]->answers) {
        for (int64_t i = std::max<int64_t>(answer.begin, 1); i < answer.end; ++i) {
          score.nll_sum += nll[i - 1];
          ++score.targets;
        }
      }
    }
    note_progress();
    progress.update(static_cast<int64_t>(first + records.size()));
  }
}

}  // namespace lococo
