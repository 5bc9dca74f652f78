#include "pass/pass_result.h"

namespace lococo {

PassResult sum_over_parts(const Batch& batch,
                          const std::function<PassResult(const Batch&)>& train_part) {
  PassResult sum;
  for (const Batch& part : parts_of_one_plan(batch)) {
    const PassResult result = train_part(part);
    sum.loss_sum = sum.loss_sum.defined() ? sum.loss_sum + result.loss_sum : result.loss_sum;
    sum.targets += result.targets;
  }
  return sum;
}

}  // namespace lococo
