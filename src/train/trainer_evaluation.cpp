// What a trainer says of its model on the way, beside losses.
#include <map>

#include "core/log.h"
#include "dist/activity.h"
#include "eval/evaluation_report.h"
#include "eval/record_report.h"
#include "tensor/kit/memory_stats.h"
#include "train/normalizer_range.h"
#include "train/trainer.h"

namespace lococo {

void Trainer::watch_normalizers() {
  const CacheConfig& cache = config_.cache;
  const bool may_leave = cache.has_convs() && cache.normalizer_range != NormalizerRange::kUnit;
  if (warned_of_normalizers_ || !may_leave) return;
  auto spread = spread_of_normalizers(optimizer_.parameters());
  if (pipeline_ != nullptr) spread = spread_over(pipeline_->stages(), spread);
  const std::string warning = normalizer_warning(spread);
  if (warning.empty()) return;
  warned_of_normalizers_ = true;
  progress_->end_line();
  log_warn("step " + std::to_string(step_) + ": " + warning);
}

void Trainer::evaluate() {
  const Doing doing("evaluation");
  progress_->end_line();
  std::vector<LengthResult> results;
  std::vector<RecordResult> records;
  if (evaluator_)
    results = evaluator_->evaluate(prepared_.model, device_, communicator_, pipeline_);
  if (record_evaluator_)
    records = record_evaluator_->evaluate(prepared_.model, device_, communicator_, pipeline_);
  reset_peak(device_);
  if (!communicator_.is_main()) return;
  std::map<std::string, double> values;
  for (const auto& result : results) {
    const auto suffix = "_" + std::to_string(result.length);
    values["nll" + suffix] =
        pool(result.segments, &SegmentScore::nll_sum, &SegmentScore::targets).mean;
    values["far_nll" + suffix] =
        pool(result.segments, &SegmentScore::far_sum, &SegmentScore::far_targets).mean;
  }
  if (!records.empty()) values["answer_nll"] = answer_nll(records).mean;
  metrics_->write_evaluation(step_, values);
  const std::string tables = (results.empty() ? "" : results_table(results)) +
                             (records.empty() ? "" : records_table(records));
  log_info("evaluation after step " + std::to_string(step_) + "\n" + tables);
  const std::string problem = non_finite_problem(results);
  if (!problem.empty()) log_warn(problem);
}

/// Texts are evaluated by evaluate_after_training().
void Trainer::evaluate_at_end() {
  const bool wanted = config_.eval.after_training && config_.eval.every == 0;
  if (record_evaluator_ && wanted && step_ > first_step_) evaluate();
}

}  // namespace lococo
