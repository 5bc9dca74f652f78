// Randomness as a pure function: every draw is a hash of what it is for, so nothing has to be saved
// or seeked.
#pragma once

#include <cinttypes>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace lococo {

namespace hash_detail {
/// The finalizer of splitmix64: a bijection of 64 bits in which every input bit moves every output
/// bit.
inline uint64_t mix(uint64_t x) {
  x ^= x >> 30;
  x *= 0xBF58476D1CE4E5B9ull;
  x ^= x >> 27;
  x *= 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}
}  // namespace hash_detail

/// 64 well mixed bits for (seed, a, b, c); the order of the arguments counts. The same on every
/// machine.
inline uint64_t hash_u64(uint64_t seed, uint64_t a, uint64_t b = 0, uint64_t c = 0) {
  constexpr uint64_t kStep = 0x9E3779B97F4A7C15ull;
  uint64_t h = hash_detail::mix(seed + kStep);
  h = hash_detail::mix((h ^ a) + kStep);
  h = hash_detail::mix((h ^ b) + kStep);
  return hash_detail::mix((h ^ c) + kStep);
}

/// The n-th number of splitmix64 started at `seed`: independent seeds from one.
inline uint64_t nth_of_stream(uint64_t seed, uint64_t n) {
  return hash_detail::mix(seed + 0x9E3779B97F4A7C15ull * (n + 1));
}

/// A double in [0, 1) from the upper 53 bits of a hash.
inline double uniform01(uint64_t hash) { return static_cast<double>(hash >> 11) * 0x1.0p-53; }

/// A hash as people read it: 16 hexadecimal digits.
inline std::string hex_text(uint64_t hash) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016" PRIx64, hash);
  return text;
}

/// An integer in [0, n) from a hash, n > 0; the bias is below n / 2^64.
inline uint64_t uniform_below(uint64_t hash, uint64_t n) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>((static_cast<Wide>(hash) * n) >> 64);
}

/// Another order, each as likely: Fisher-Yates with hashes of `key` in place of a generator.
template <typename Item>
std::vector<Item> shuffled(std::vector<Item> items, uint64_t key) {
  for (size_t i = items.size(); i > 1; --i)
    std::swap(items[i - 1], items[uniform_below(hash_u64(key, i), i)]);
  return items;
}

}  // namespace lococo
