#include "tensor/pattern/masked_attention.h"

#include <cmath>
#include <limits>

#include "tensor/attention/attention_reference.h"
#include "tensor/kit/shape.h"
#include "tensor/kit/wide.h"

namespace lococo {
namespace {

/// bool [L, L] of one row and either kind of head.
torch::Tensor visible_in_row(const std::vector<TokenRange>& documents, const SegmentForm& form,
                             bool shifted, int64_t L) {
  auto visible_LL = torch::zeros({L, L}, torch::kBool);
  auto visible = visible_LL.accessor<bool, 2>();
  for (const TokenRange& document : documents) {
    const auto segment = [&](int64_t token) {
      return segment_of(token - document.begin, form.group, shifted);
    };
    for (int64_t i = document.begin; i < document.end; ++i) {
      for (int64_t j = document.begin; j <= i; ++j)
        visible[i][j] = segment(i) == segment(j) || j - document.begin < form.sinks;
    }
  }
  return visible_LL;
}

}  // namespace

torch::Tensor visible_keys(const SegmentForm& form, const Documents& documents, int64_t H,
                           int64_t L) {
  const auto B = documents.empty() ? 1 : static_cast<int64_t>(documents.rows.size());
  const std::string problem = segment_problem(form, documents, B, H, L);
  TORCH_CHECK(problem.empty(), problem);
  const std::vector<std::vector<TokenRange>> whole = {{{0, L}}};
  std::vector<torch::Tensor> rows;
  for (const auto& row : documents.empty() ? whole : documents.rows) {
    const auto straight_1LL = visible_in_row(row, form, /*shifted=*/false, L).unsqueeze(0);
    const auto shifted_1LL = visible_in_row(row, form, /*shifted=*/true, L).unsqueeze(0);
    rows.push_back(torch::cat({straight_1LL.expand({H - form.shifted_heads, L, L}),
                               shifted_1LL.expand({form.shifted_heads, L, L})}));
  }
  return torch::stack(rows);
}

torch::Tensor masked_attention(const torch::Tensor& q_BHLD, const torch::Tensor& k_BGLD,
                               const torch::Tensor& v_BGLD, const SegmentForm& form,
                               const Documents& documents) {
  const int64_t B = q_BHLD.size(0), H = q_BHLD.size(1), L = q_BHLD.size(2), D = q_BHLD.size(3);
  CHECK_SHAPE(k_BGLD, B, -1, L, D);
  CHECK_SHAPE(v_BGLD, B, -1, L, D);
  const auto visible_BHLL = visible_keys(form, documents, H, L).to(q_BHLD.device());
  const auto wide = wide_of(q_BHLD);
  const auto k_BHLD = repeat_kv_heads(k_BGLD, H).to(wide);
  const auto v_BHLD = repeat_kv_heads(v_BGLD, H).to(wide);
  const auto scores_BHLL =
      torch::matmul(q_BHLD.to(wide), k_BHLD.transpose(-1, -2)) / std::sqrt(static_cast<double>(D));
  // The lowest number and not -infinity: a query that sees nothing has no NaN then.
  const double lowest = std::numeric_limits<float>::lowest();
  const auto masked_BHLL = scores_BHLL.masked_fill(visible_BHLL.logical_not(), lowest);
  const auto weights_BHLL = torch::softmax(masked_BHLL, /*dim=*/-1) * visible_BHLL;
  return torch::matmul(weights_BHLL, v_BHLD).to(q_BHLD.scalar_type());
}

}  // namespace lococo
