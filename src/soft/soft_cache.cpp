#include "soft/soft_cache.h"

#include <vector>

#include "soft/mass_score.h"
#include "soft/soft_blocks.h"
#include "soft/soft_cache_fused.h"
#include "tensor/attention/column_mass.h"
#include "tensor/attention/key_bias_attention.h"
#include "tensor/kit/shape.h"

namespace lococo {

torch::Tensor soft_cache_attention(const SoftAttentionInput& input, const SoftCache& cache,
                                   const torch::Tensor& score_BGT,
                                   const torch::Tensor& mass_weight_G) {
  const int64_t B = input.k_BGTD.size(0), G = input.k_BGTD.size(1), T = input.k_BGTD.size(2);
  CHECK_SHAPE(score_BGT, B, G, T);
  CHECK_SHAPE(mass_weight_G, G);
  if (takes_fused_soft_cache(input))
    return soft_cache_attention_fused(input, cache, score_BGT, mass_weight_G);
  return soft_cache_attention_reference(input, cache, score_BGT, mass_weight_G);
}

torch::Tensor soft_cache_attention_reference(const SoftAttentionInput& input,
                                             const SoftCache& cache, const torch::Tensor& score_BGT,
                                             const torch::Tensor& mass_weight_G) {
  SoftMass mass(cache);
  std::vector<torch::Tensor> out_BHLD;
  for (const auto& block : soft_blocks(cache, input.q_BHTD.size(2))) {
    const auto q_BHLD = input.q_BHTD.narrow(/*dim=*/2, block.begin, block.length());
    const auto k_BGSD = input.k_BGTD.narrow(/*dim=*/2, 0, block.end);
    const auto v_BGSD = input.v_BGTD.narrow(/*dim=*/2, 0, block.end);
    auto bias_BGS = torch::zeros({k_BGSD.size(0), k_BGSD.size(1), block.end},
                                 score_BGT.options().requires_grad(false));
    if (block.compresses) {
      const auto score_BGS = score_BGT.narrow(/*dim=*/2, 0, block.begin);
      const auto massed_BGS =
          mass.wanted() ? score_with_mass(score_BGS, mass.now(), mass_weight_G) : torch::Tensor();
      bias_BGS =
          torch::constant_pad_nd(soft_keep(score_BGS, massed_BGS, cache.keep), {0, block.length()});
    }
    const auto attention = key_bias_attention(q_BHLD, k_BGSD, v_BGSD, bias_BGS);
    out_BHLD.push_back(attention.out_BHLD);
    if (!mass.wanted()) continue;
    torch::NoGradGuard no_grad;
    // The column sums' logits know nothing of the term that all queries of the block share.
    const auto received_BGS =
        column_mass(q_BHLD, k_BGSD, attention.lse_BHL, /*prior_mass_BGM=*/{}, cache.score_distance);
    mass.add(block, received_BGS * bias_BGS.exp());
  }
  return torch::cat(out_BHLD, /*dim=*/2);
}

}  // namespace lococo
