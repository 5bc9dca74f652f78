#include "generate/continuation.h"

#include <algorithm>

namespace lococo {

std::vector<double> continuation_log_probabilities(
    Decoder& decoder, const torch::Tensor& logits_BV,
    const std::vector<std::vector<int32_t>>& options) {
  torch::NoGradGuard no_grad;
  const int64_t B = decoder.batch();
  TORCH_CHECK(static_cast<int64_t>(options.size()) == B, "want options of B=", B, " rows");
  size_t longest = 0;
  for (const auto& option : options) longest = std::max(longest, option.size());
  auto sum_B = torch::zeros({B}, torch::dtype(torch::kFloat64).device(decoder.device()));
  auto logits = logits_BV;
  for (size_t t = 0; t < longest; ++t) {
    std::vector<int64_t> ids;
    std::vector<double> counts;
    for (const auto& option : options) {  // a row that has ended goes on with anything
      ids.push_back(t < option.size() ? option[t] : 0);
      counts.push_back(t < option.size() ? 1.0 : 0.0);
    }
    const auto ids_B = torch::tensor(ids, torch::kInt64).to(decoder.device());
    const auto log_BV = torch::log_softmax(logits.to(torch::kFloat64), /*dim=*/-1);
    const auto of_ids_B = log_BV.gather(/*dim=*/-1, ids_B.unsqueeze(-1)).squeeze(-1);
    sum_B += of_ids_B * torch::tensor(counts, torch::kFloat64).to(decoder.device());
    if (t + 1 < longest) logits = decoder.step(ids_B);
  }
  const auto sums = decoder.shared(sum_B).cpu();
  return {sums.const_data_ptr<double>(), sums.const_data_ptr<double>() + B};
}

}  // namespace lococo
