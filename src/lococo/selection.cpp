#include "lococo/selection.h"

namespace lococo {

SlotSelection select_slots(const torch::Tensor& mass_BGS, int64_t kept, int64_t sinks,
                           int64_t local) {
  const int64_t S = mass_BGS.size(2);
  const int64_t heavy = kept - sinks - local;
  TORCH_CHECK(heavy >= 0 && kept <= S, "kept=", kept, " sinks=", sinks, " local=", local,
              " do not fit into S=", S);
  auto is_kept_BGS = torch::zeros_like(mass_BGS, torch::kUInt8);
  if (sinks > 0) is_kept_BGS.narrow(/*dim=*/2, 0, sinks).fill_(1);
  if (local > 0) is_kept_BGS.narrow(/*dim=*/2, S - local, local).fill_(1);
  if (heavy > 0) {
    const auto candidates = mass_BGS.narrow(/*dim=*/2, sinks, S - sinks - local);
    const auto chosen = std::get<1>(candidates.topk(heavy, /*dim=*/-1)) + sinks;
    is_kept_BGS.scatter_(/*dim=*/2, chosen, 1);
  }
  // A stable sort of the flags lists the rest in order, then the kept in order: both index lists
  // without a synchronisation.
  const auto order_BGS = is_kept_BGS.argsort(/*stable=*/true, /*dim=*/-1, /*descending=*/false);
  return {order_BGS.narrow(/*dim=*/2, S - kept, kept), order_BGS.narrow(/*dim=*/2, 0, S - kept)};
}

torch::Tensor gather_slots(const torch::Tensor& x, const torch::Tensor& index_BGM) {
  if (x.dim() == 3) return x.gather(/*dim=*/2, index_BGM);
  const auto index = index_BGM.unsqueeze(-1).expand({-1, -1, -1, x.size(3)});
  return x.gather(/*dim=*/2, index);
}

}  // namespace lococo
