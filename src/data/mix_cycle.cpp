#include "data/mix_cycle.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace lococo {
namespace {

constexpr int64_t kSlotsPerThousandSources = 10000;

// Rounds weight shares of `slots` to whole slots: all of them given out, at least one for each.
std::vector<int64_t> share_slots(const std::vector<double>& weights, int64_t slots) {
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<int64_t> shares(weights.size());
  std::vector<double> remainders(weights.size());
  for (size_t s = 0; s < weights.size(); ++s) {
    const double exact = weights[s] / total * static_cast<double>(slots);
    shares[s] = std::max<int64_t>(1, static_cast<int64_t>(std::floor(exact)));
    remainders[s] = exact - static_cast<double>(shares[s]);
  }
  int64_t left = slots - std::accumulate(shares.begin(), shares.end(), int64_t{0});
  for (; left > 0; --left) {
    const auto s = std::max_element(remainders.begin(), remainders.end()) - remainders.begin();
    ++shares[static_cast<size_t>(s)];
    remainders[static_cast<size_t>(s)] -= 1.0;
  }
  for (; left < 0; ++left) --*std::max_element(shares.begin(), shares.end());
  return shares;
}

}  // namespace

MixCycle::MixCycle(const std::vector<double>& weights) {
  if (weights.empty()) throw std::logic_error("a mix without sources");
  const auto sources = static_cast<int64_t>(weights.size());
  shares_ = share_slots(weights, kSlotsPerThousandSources * (1 + sources / 1000));
  for (int64_t s = 0; s < sources; ++s) {
    for (int64_t k = 0; k < slots_of(s); ++k) slots_.push_back({s, k});
  }
  // A source with q slots wants its k-th at (k + 1/2) / q of the cycle; compared without rounding.
  std::sort(slots_.begin(), slots_.end(), [this](const Turn& a, const Turn& b) {
    const int64_t left = (2 * a.index + 1) * slots_of(b.source);
    const int64_t right = (2 * b.index + 1) * slots_of(a.source);
    return left != right ? left < right : a.source < b.source;
  });
}

MixCycle::Turn MixCycle::turn(int64_t global_index) const {
  if (global_index < 0) throw std::out_of_range("global sequence index");
  Turn turn = slots_[static_cast<size_t>(global_index % length())];
  turn.index += global_index / length() * slots_of(turn.source);
  return turn;
}

}  // namespace lococo
