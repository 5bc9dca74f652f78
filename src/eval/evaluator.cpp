#include "eval/evaluator.h"

#include <chrono>
#include <numeric>

#include "core/error.h"
#include "data/repeats.h"
#include "data/segments.h"
#include "pass/sequence_pass.h"
#include "tensor/kit/memory_stats.h"

namespace lococo {
namespace {

constexpr int64_t kFields = 8;  // numbers of a SegmentScore that ranks exchange

SegmentScore score_segment(const std::vector<int64_t>& tokens, const float* nll, int64_t far) {
  const auto n = static_cast<int64_t>(tokens.size()) - 1;
  const auto kinds = classify_targets(tokens.data(), n, far);
  SegmentScore score;
  score.targets = n;
  for (size_t t = 0; t < kinds.size(); ++t) {
    const double value = nll[t];
    score.nll_sum += value;
    const bool is_far = kinds[t] == TargetKind::kFar, is_near = kinds[t] == TargetKind::kNear;
    (is_far ? score.far_sum : is_near ? score.near_sum : score.new_sum) += value;
    ++(is_far ? score.far_targets : is_near ? score.near_targets : score.new_targets);
  }
  return score;
}

void pack(const SegmentScore& score, double* out) {
  const double fields[kFields] = {score.nll_sum,
                                  score.far_sum,
                                  score.near_sum,
                                  score.new_sum,
                                  static_cast<double>(score.targets),
                                  static_cast<double>(score.far_targets),
                                  static_cast<double>(score.near_targets),
                                  static_cast<double>(score.new_targets)};
  std::copy(fields, fields + kFields, out);
}

void unpack(const double* in, SegmentScore& score) {
  score.nll_sum = in[0];
  score.far_sum = in[1];
  score.near_sum = in[2];
  score.new_sum = in[3];
  score.targets = static_cast<int64_t>(in[4]);
  score.far_targets = static_cast<int64_t>(in[5]);
  score.near_targets = static_cast<int64_t>(in[6]);
  score.new_targets = static_cast<int64_t>(in[7]);
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

void sum_over_ranks(Communicator& communicator, std::vector<double>& table,
                    std::vector<PositionBucket>& buckets) {
  for (double& value : table) value = communicator.all_reduce_sum_double(value);
  for (auto& bucket : buckets) {
    bucket.nll_sum = communicator.all_reduce_sum_double(bucket.nll_sum);
    bucket.targets = communicator.all_reduce_sum_int(bucket.targets);
  }
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
    : config_(config), files_(std::move(files)) {}

std::vector<LengthResult> Evaluator::evaluate(Llama& model, torch::Device device,
                                              Communicator& communicator) const {
  std::vector<LengthResult> results;
  for (const int64_t length : config_.eval.lengths)
    results.push_back(evaluate_length(model, device, communicator, length));
  return results;
}

LengthResult Evaluator::evaluate_length(Llama& model, torch::Device device,
                                        Communicator& communicator, int64_t length) const {
  torch::NoGradGuard no_grad;
  const EvalConfig& eval = config_.eval;
  const auto segments =
      make_segments(files_, length, eval.stride, eval.segments_per_document, eval.max_tokens);
  if (segments.empty()) {
    throw UserError("eval.lengths: no document of data.validation is longer than " +
                    std::to_string(length) + " tokens within eval.max_tokens=" +
                    std::to_string(eval.max_tokens) + "; use a shorter length");
  }
  const auto pass = make_pass(config_);
  const auto started = std::chrono::steady_clock::now();
  reset_peak(device);

  // Every rank fills its own rows; the sum over ranks is then the whole table.
  const auto count = static_cast<int64_t>(segments.size());
  std::vector<double> table(static_cast<size_t>(count * kFields), 0.0);
  LengthResult result;
  result.length = length;
  result.by_position = make_position_buckets(length, eval.position_buckets);
  std::vector<int64_t> mine;
  for (int64_t i = communicator.rank(); i < count; i += communicator.size()) mine.push_back(i);
  const auto batch = static_cast<size_t>(eval.batch);
  for (size_t first = 0; first < mine.size(); first += batch) {
    std::vector<std::vector<int64_t>> rows;
    for (size_t i = first; i < std::min(first + batch, mine.size()); ++i) {
      const auto& segment = segments[static_cast<size_t>(mine[i])];
      rows.push_back(segment_tokens(*files_[static_cast<size_t>(segment.source)], segment));
    }
    const auto nll_BT = pass->evaluate(model, stacked(rows).to(device)).cpu().contiguous();
    for (size_t b = 0; b < rows.size(); ++b) {
      const float* nll = nll_BT.const_data_ptr<float>() + static_cast<int64_t>(b) * length;
      pack(score_segment(rows[b], nll, eval.far), table.data() + mine[first + b] * kFields);
      add_positions(nll, result.by_position);
    }
  }
  if (communicator.size() > 1) sum_over_ranks(communicator, table, result.by_position);

  for (int64_t i = 0; i < count; ++i) {
    const auto& segment = segments[static_cast<size_t>(i)];
    SegmentScore score;
    unpack(table.data() + i * kFields, score);
    score.source = segment.source;
    score.document = segment.document;
    score.begin = segment.begin;
    result.segments.push_back(score);
  }
  result.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  result.peak_memory_bytes = communicator.all_reduce_max_int(peak_memory_bytes(device));
  return result;
}

}  // namespace lococo
