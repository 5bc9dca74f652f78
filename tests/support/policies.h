// Every kind of cache policy in sizes that fit unit tests, for properties that all of them have.
#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "config/cache_config.h"
#include "lococo/cache_policy.h"
#include "lococo/cache_state.h"

namespace lococo::testing {

struct PolicyCase {
  std::string name;
  CacheConfig cache;
};

/// One row for each policy and each option that changes what it keeps; odd sizes among them.
/// Policy none is not in it. A new policy gets its rows here.
std::vector<PolicyCase> all_policies();

/// A cache of S random slots with distinct positive masses. The first channel of the values is the
/// slot number, so that a test can tell which slot it sees.
CacheState numbered_cache(int64_t B, int64_t G, int64_t S, int64_t D, uint64_t seed,
                          torch::ScalarType dtype = torch::kFloat32);

/// The same with what the policy needs beside: distinct scores, and places in the text.
CacheState numbered_cache(const CacheConfig& config, int64_t B, int64_t G, int64_t S, int64_t D,
                          uint64_t seed);

/// The same cache in homes of `capacity` slots, which must be enough.
CacheState at_home(const CacheState& cache, int64_t capacity);

/// The slot numbers of such a cache, [B, G, S]; a mixed slot has a mixture of numbers.
torch::Tensor slot_numbers(const CacheState& cache);

/// A memory that chooses by the gate, or by gate and mass too, as one is taught: places of the
/// text, 1 sink, 2 newest tokens.
CacheConfig taught_memory(int64_t slots, int64_t block, double alone_fraction);

/// Its soft form.
SoftCache soft_form(const CacheConfig& cache, double temperature);

}  // namespace lococo::testing
