#include "data/repeats.h"

#include <unordered_map>

#include "core/hash.h"

namespace lococo {
namespace {

struct Bigram {
  int64_t first = 0;
  int64_t second = 0;
  bool operator==(const Bigram&) const = default;
};

struct BigramHash {
  size_t operator()(const Bigram& bigram) const {
    return hash_u64(0, static_cast<uint64_t>(bigram.first), static_cast<uint64_t>(bigram.second));
  }
};

}  // namespace

std::vector<Repeat> classify_targets(const int64_t* tokens, int64_t n, int64_t far) {
  std::vector<Repeat> kinds;
  kinds.reserve(static_cast<size_t>(n));
  std::unordered_map<Bigram, int64_t, BigramHash> latest;  // target position of each bigram
  latest.reserve(static_cast<size_t>(n));
  for (int64_t t = 1; t <= n; ++t) {
    const auto [it, is_new] = latest.try_emplace({tokens[t - 1], tokens[t]}, t);
    if (is_new) {
      kinds.push_back(Repeat::kNew);
      continue;
    }
    kinds.push_back(t - it->second > far ? Repeat::kFar : Repeat::kNear);
    it->second = t;
  }
  return kinds;
}

}  // namespace lococo
