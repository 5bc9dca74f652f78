// Runners of blocks for batches of several sizes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace lococo {

/// The last micro-batch of a step may be smaller than the others: each size has its own buffers.
/// Two sizes stay, the ones used last: an evaluation meets another remainder at each length.
template <typename Runner, typename Options>
class RunnersBySize {
 public:
  explicit RunnersBySize(Options options) : options_(std::move(options)) {}

  /// Stays where it is until two other sizes have been asked for.
  Runner& of_size(int64_t B) {
    constexpr size_t kMostSizes = 2;
    std::erase(sizes_, B);
    sizes_.push_back(B);
    if (sizes_.size() > kMostSizes) {
      runners_.erase(sizes_.front());
      sizes_.erase(sizes_.begin());
    }
    return runners_.try_emplace(B, options_).first->second;
  }

 private:
  Options options_;
  std::map<int64_t, Runner> runners_;
  std::vector<int64_t> sizes_;  ///< the last used one at the end
};

}  // namespace lococo
