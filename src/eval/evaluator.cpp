#include "eval/evaluator.h"

#include <cmath>
#include <numeric>

#include "core/elapsed.h"
#include "core/error.h"
#include "core/progress_count.h"
#include "data/repeats.h"
#include "pipeline/pipeline_pass.h"
#include "report/task_progress.h"
#include "tensor/kit/memory_stats.h"

namespace lococo {
namespace {

void add_targets(const std::vector<int64_t>& tokens, const float* nll, int64_t far,
                 SegmentScore& score) {
  const auto n = static_cast<int64_t>(tokens.size()) - 1;
  const auto kinds = classify_targets(tokens.data(), n, far);
  score.targets = n;
  for (size_t t = 0; t < kinds.size(); ++t) {
    const double value = nll[t];
    score.nll_sum += value;
    const bool is_far = kinds[t] == Repeat::kFar, is_near = kinds[t] == Repeat::kNear;
    (is_far ? score.far_sum : is_near ? score.near_sum : score.new_sum) += value;
    ++(is_far ? score.far_targets : is_near ? score.near_targets : score.new_targets);
  }
}

/// The sums over one segment are added in double precision: a novel's float32 sum would lose the
/// last digits.
void add_positions(const float* nll, std::vector<PositionBucket>& buckets) {
  for (auto& bucket : buckets) {
    bucket.nll_sum = std::accumulate(nll + bucket.begin, nll + bucket.end, bucket.nll_sum);
    bucket.targets += bucket.end - bucket.begin;
  }
}

torch::Tensor stacked(const std::vector<std::vector<int64_t>>& rows) {
  std::vector<torch::Tensor> tensors;
  for (const auto& row : rows) tensors.push_back(torch::tensor(row, torch::kInt64));
  return torch::stack(tensors);
}

/// Every rank has filled in its own segments; the sum over the ranks is the whole. All numbers of
/// all segments go in one collective.
void sum_over_ranks(Communicator& communicator, LengthResult& result) {
  std::vector<double*> sums;
  std::vector<int64_t*> counts;
  for (auto& s : result.segments) {
    sums.insert(sums.end(), {&s.nll_sum, &s.far_sum, &s.near_sum, &s.new_sum});
    counts.insert(counts.end(), {&s.targets, &s.far_targets, &s.near_targets, &s.new_targets});
  }
  for (auto& bucket : result.by_position) {
    sums.push_back(&bucket.nll_sum);
    counts.push_back(&bucket.targets);
  }
  std::vector<double> sum_values;
  std::vector<int64_t> count_values;
  for (const double* sum : sums) sum_values.push_back(*sum);
  for (const int64_t* count : counts) count_values.push_back(*count);
  communicator.all_reduce_sum_numbers(sum_values, count_values);
  for (size_t i = 0; i < sums.size(); ++i) *sums[i] = sum_values[i];
  for (size_t i = 0; i < counts.size(); ++i) *counts[i] = count_values[i];
}

/// Segments of other ranks are zeros here, and the other way round.
void gather_nll(Communicator& communicator, torch::Device device, LengthResult& result) {
  if (result.nll.empty()) return;
  std::vector<torch::Tensor> rows;
  for (auto& nll : result.nll)
    rows.push_back(torch::from_blob(nll.data(), {result.inputs}, torch::kFloat32));
  std::vector<torch::Tensor> all = {torch::stack(rows).to(device)};
  communicator.all_reduce_sum(all);
  const auto sum_ST = all[0].cpu();
  for (size_t i = 0; i < rows.size(); ++i) rows[i].copy_(sum_ST[static_cast<int64_t>(i)]);
}

/// Of one of eval.lengths. Throws UserError where no document is long enough for one.
std::vector<Segment> evaluated_segments(const EvalConfig& eval,
                                        const std::vector<std::shared_ptr<const TokenFile>>& files,
                                        int64_t length) {
  auto segments =
      eval.windows == EvalWindows::kLongLora
          ? make_longlora_segments(files, length, eval.max_tokens)
          : make_segments(files, length, eval.stride, eval.segments_per_document, eval.max_tokens);
  if (segments.empty()) {
    throw UserError("eval.lengths: no document of data.validation is longer than " +
                    std::to_string(length) + " tokens within eval.max_tokens=" +
                    std::to_string(eval.max_tokens) + "; use a shorter length");
  }
  return segments;
}

}  // namespace

std::vector<PositionBucket> make_position_buckets(int64_t length, int64_t count) {
  std::vector<PositionBucket> buckets;
  // Not length * (i + 1) / count, which can overflow: the rest of the division is dealt out.
  const int64_t size = count > 0 ? length / count : 0, rest = count > 0 ? length % count : 0;
  for (int64_t i = 0, begin = 0; i < count; ++i) {
    const int64_t end = begin + size + (i < rest ? 1 : 0);
    buckets.push_back({begin, end});
    begin = end;
  }
  return buckets;
}

Evaluator::Evaluator(const Config& config, std::vector<std::shared_ptr<const TokenFile>> files)
    : config_(config), files_(std::move(files)) {
  for (const int64_t length : config_.eval.lengths)
    segments_.push_back(evaluated_segments(config_.eval, files_, length));
}

std::vector<LengthResult> Evaluator::evaluate(Llama& model, torch::Device device,
                                              Communicator& communicator,
                                              Pipeline* pipeline) const {
  const auto pass = make_pass(config_, pipeline);
  const WorkShare share = share_of(communicator, pipeline);
  std::vector<LengthResult> results;
  for (size_t i = 0; i < segments_.size(); ++i)
    results.push_back(evaluate_length(*pass, model, device, communicator, share, i));
  return results;
}

LengthResult Evaluator::evaluate_length(SequencePass& pass, Llama& model, torch::Device device,
                                        Communicator& communicator, const WorkShare& share,
                                        size_t which) const {
  torch::NoGradGuard no_grad;
  const auto& segments = segments_[which];
  LengthResult result;
  result.length = config_.eval.lengths[which];
  result.inputs = segments.front().length;
  result.by_position = make_position_buckets(result.inputs, config_.eval.position_buckets);
  for (const auto& segment : segments) {
    SegmentScore score;
    score.source = segment.source;
    score.document = segment.document;
    score.begin = segment.begin;
    result.segments.push_back(score);
  }
  if (!config_.eval.per_token.empty()) {
    const std::vector<float> nothing(static_cast<size_t>(result.inputs), 0.0F);
    result.nll.assign(result.segments.size(), nothing);
    for (const auto& segment : segments)
      result.ids.push_back(segment_tokens(*files_[static_cast<size_t>(segment.source)], segment));
  }
  const auto started = steady_now();
  reset_peak(device);
  score_own_segments(pass, model, device, communicator.is_main(), share, segments, result);
  if (communicator.size() > 1) {
    sum_over_ranks(communicator, result);
    gather_nll(communicator, device, result);
  }
  result.seconds = seconds_since(started);
  result.peak_memory_bytes = communicator.all_reduce_max_int(peak_memory_bytes(device));
  return result;
}

void Evaluator::score_own_segments(SequencePass& pass, Llama& model, torch::Device device,
                                   bool shows_progress, const WorkShare& share,
                                   const std::vector<Segment>& segments,
                                   LengthResult& result) const {
  std::vector<size_t> mine;
  const auto ranks = static_cast<size_t>(share.step);
  for (auto i = static_cast<size_t>(share.first); i < segments.size(); i += ranks)
    mine.push_back(i);
  const int64_t length = result.inputs;
  const auto batch = static_cast<size_t>(config_.eval.batch);
  TaskProgress progress("evaluating at " + std::to_string(result.length) + " tokens", "tokens",
                        static_cast<int64_t>(mine.size()) * length, shows_progress);
  for (size_t first = 0; first < mine.size(); first += batch) {
    std::vector<std::vector<int64_t>> rows;
    for (size_t i = first; i < std::min(first + batch, mine.size()); ++i) {
      const Segment& segment = segments[mine[i]];
      rows.push_back(segment_tokens(*files_[static_cast<size_t>(segment.source)], segment));
    }
    auto nll_BT = pass.evaluate(model, stacked(rows).to(device));
    if (share.reports) nll_BT = nll_BT.cpu().contiguous();
    for (size_t b = 0; b < rows.size() && share.reports; ++b) {
      const float* nll = nll_BT.const_data_ptr<float>() + static_cast<int64_t>(b) * length;
      const size_t segment = mine[first + b];
      add_targets(rows[b], nll, config_.eval.far, result.segments[segment]);
      add_positions(nll, result.by_position);
      if (!result.nll.empty()) result.nll[segment].assign(nll, nll + length);
    }
    note_progress();
    progress.update(static_cast<int64_t>(first + rows.size()) * length);
  }
}

std::string non_finite_problem(const std::vector<LengthResult>& results) {
  for (const auto& result : results) {
    for (const auto& segment : result.segments) {
      if (std::isfinite(segment.nll_sum)) continue;
      return "the NLL at " + std::to_string(result.length) + " tokens is not finite in document " +
             std::to_string(segment.document) + " of source " + std::to_string(segment.source) +
             ", token " + std::to_string(segment.begin) +
             ": the model computes no numbers there; check the weights of model.path and "
             "model.adapter, or use model.dtype: float32";
    }
  }
  return "";
}

}  // namespace lococo
