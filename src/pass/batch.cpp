#include "pass/batch.h"

#include "pass/loss.h"
#include "tensor/kit/shape.h"
#include "tensor/kit/torch.h"

namespace lococo {

torch::Tensor targets_of(const Batch& batch) {
  const int64_t B = batch.tokens_BT.size(0), T = batch.tokens_BT.size(1) - 1;
  const auto targets_BT = batch.tokens_BT.narrow(/*dim=*/1, 1, T);
  if (!batch.kinds_BT.defined()) return targets_BT;
  CHECK_SHAPE(batch.kinds_BT, B, T);
  const auto ignored_BT = batch.kinds_BT == static_cast<int64_t>(TargetKind::kIgnored);
  return targets_BT.masked_fill(ignored_BT, kIgnoreTarget);
}

std::vector<Batch> parts_of_one_plan(const Batch& batch) {
  if (!batch.documents) return {batch};
  const int64_t B = batch.tokens_BT.size(0), T = batch.tokens_BT.size(1) - 1;
  const std::string problem = segment_problem({}, *batch.documents, B, /*H=*/1, T);
  TORCH_CHECK(problem.empty() && !batch.documents->empty(), problem);
  std::vector<Batch> parts;
  for (int64_t b = 0; b < B; ++b) {
    Batch part = {batch.tokens_BT.narrow(/*dim=*/0, b, 1)};
    if (batch.kinds_BT.defined()) part.kinds_BT = batch.kinds_BT.narrow(/*dim=*/0, b, 1);
    Documents row;
    row.rows = {batch.documents->rows[static_cast<size_t>(b)]};
    part.documents = std::make_shared<const Documents>(std::move(row));
    parts.push_back(std::move(part));
  }
  return parts;
}

std::vector<BlockStep> plan_of(const Batch& part, const CacheConfig& cache) {
  if (!part.documents) return make_step_plan(cache, part.tokens_BT.size(1) - 1);
  TORCH_CHECK(part.documents->rows.size() == 1, "rows with documents have plans of their own");
  std::vector<BlockStep> plan;
  for (const TokenRange& range : part.documents->rows.front()) {
    const auto steps = make_document_plan(cache, range.begin, range.end);
    plan.insert(plan.end(), steps.begin(), steps.end());
  }
  return plan;
}

int64_t queries_with_target(const BlockStep& step, bool boundary_targets) {
  return boundary_targets ? step.length() : step.length() - 1;
}

int64_t count_targets(const Batch& part, const std::vector<BlockStep>& plan,
                      bool boundary_targets) {
  const int64_t B = part.tokens_BT.size(0);
  int64_t all = 0;
  for (const BlockStep& step : plan) all += B * queries_with_target(step, boundary_targets);
  if (!part.kinds_BT.defined() || all == 0) return all;
  const auto counts_BT = part.kinds_BT != static_cast<int64_t>(TargetKind::kIgnored);
  std::vector<torch::Tensor> of_blocks;
  for (const BlockStep& step : plan) {
    const int64_t count = queries_with_target(step, boundary_targets);
    of_blocks.push_back(counts_BT.narrow(/*dim=*/1, step.begin, count).sum());
  }
  return torch::stack(of_blocks).sum().item<int64_t>();
}

}  // namespace lococo
