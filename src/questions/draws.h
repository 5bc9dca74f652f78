// Draws for the questions: the same on every machine, because each is a hash (core/hash.h) of what
// it is for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "core/hash.h"

namespace lococo {

/// FNV-1a of a text, to make a name part of a seed.
inline uint64_t hash_of_text(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325ull;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ull;
  return hash;
}

/// One stream of draws.
class Draws {
 public:
  explicit Draws(uint64_t seed) : seed_(seed) {}

  uint64_t next() { return nth_of_stream(seed_, count_++); }
  double uniform() { return uniform01(next()); }  ///< in [0, 1)
  /// In [0, n).
  size_t below(size_t n) {
    if (n == 0) throw std::logic_error("a draw from nothing");
    return static_cast<size_t>(uniform_below(next(), n));
  }
  template <typename Item>
  const Item& pick(const std::vector<Item>& items) {
    return items[below(items.size())];
  }
  template <typename Item>
  void shuffle(std::vector<Item>& items) {
    for (size_t left = items.size(); left > 1; --left)
      std::swap(items[left - 1], items[below(left)]);
  }
  /// `count` different items, in the order drawn.
  template <typename Item>
  std::vector<Item> sample(std::vector<Item> items, size_t count) {
    if (count > items.size()) throw std::logic_error("more draws than items");
    for (size_t i = 0; i < count; ++i) std::swap(items[i], items[i + below(items.size() - i)]);
    items.resize(count);
    return items;
  }

 private:
  uint64_t seed_;
  uint64_t count_ = 0;
};

}  // namespace lococo
