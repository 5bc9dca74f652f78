// Sizes, forms and documents that patterns of attention are tested with.
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "tensor/pattern/segments.h"
#include "tests/support/tensors.h"

namespace lococo::testing {

struct PatternCase {
  int64_t B = 1, H = 2, G = 2, L = 16, D = 8;
  SegmentForm form;
  Documents documents;
};

struct PatternQkv {
  torch::Tensor q_BHLD, k_BGLD, v_BGLD;
};

inline std::string text(const PatternCase& c) {
  std::string documents;
  for (const auto& row : c.documents.rows) {
    documents += " row";
    for (const TokenRange& d : row)
      documents += " " + std::to_string(d.begin) + ".." + std::to_string(d.end);
  }
  return "B=" + std::to_string(c.B) + " H=" + std::to_string(c.H) + " G=" + std::to_string(c.G) +
         " L=" + std::to_string(c.L) + " D=" + std::to_string(c.D) +
         " group=" + std::to_string(c.form.group) +
         " shifted=" + std::to_string(c.form.shifted_heads) +
         " sinks=" + std::to_string(c.form.sinks) + documents;
}

/// Leaves that need a gradient. The memory of k and v has the heads of a token side by side, as
/// projections deliver them; that of q is contiguous, as rotation leaves it.
inline PatternQkv random_qkv(const PatternCase& c, torch::ScalarType dtype,
                             torch::Device device = torch::kCPU) {
  const auto leaf = [&](int64_t heads, uint64_t seed, bool transposed) {
    auto x = normal({c.B, heads, c.L, c.D}, seed, dtype).to(device);
    if (transposed) x = x.transpose(1, 2).contiguous().transpose(1, 2);
    return x.requires_grad_(true);
  };
  return {leaf(c.H, 1, false), leaf(c.G, 2, true), leaf(c.G, 3, true)};
}

/// Even and odd groups, lengths that they divide and not, one group, groups of one token, no shift,
/// every head shifted, odd H, grouped heads that the border cuts, sinks beyond the first segment,
/// documents (in one segment and in several) and padding on both sides.
inline std::vector<PatternCase> pattern_cases(int64_t D = 8) {
  return {
      {1, 2, 2, 16, D, {4, 1, 0}, {}},
      {2, 4, 4, 16, D, {4, 2, 2}, {}},
      {2, 4, 2, 20, D, {5, 2, 0}, {}},
      {3, 4, 2, 23, D, {5, 2, 4}, {}},
      {1, 9, 3, 22, D, {6, 5, 4}, {}},
      {2, 6, 2, 17, D, {4, 1, 3}, {}},
      {2, 5, 1, 13, D, {7, 5, 1}, {}},
      {1, 4, 4, 9, D, {1, 2, 1}, {}},
      {2, 4, 2, 11, D, {32, 2, 2}, {}},
      {2, 4, 4, 19, D, {19, 0, 0}, {}},
      {1, 3, 3, 14, D, {4, 0, 4}, {}},
      {1, 4, 2, 1, D, {4, 2, 1}, {}},
      {2, 4, 2, 23, D, {4, 2, 2}, {{{{2, 9}, {9, 10}, {10, 21}}, {{0, 23}}}}},
      {2, 9, 3, 20, D, {5, 5, 0}, {{{{0, 11}}, {{3, 20}}}}},
      {2, 9, 3, 30, D, {24, 5, 2}, {{{{0, 11}, {11, 23}}, {{1, 7}, {7, 30}}}}},
      {1, 2, 1, 2500, D, {600, 1, 4}, {}},
  };
}

}  // namespace lococo::testing
