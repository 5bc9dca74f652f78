// What a checkpoint's base was: adapters and convolution kernels mean nothing on other weights.
#pragma once

#include <cstdint>
#include <string>

#include "core/model_shape.h"

namespace lococo {

/// Under what a file of learned parts names its base, in its metadata.
inline constexpr const char* kBaseFingerprintKey = "base_fingerprint";

/// 16 hexadecimal digits over every tensor's name, dtype, shape and bytes, in the order of names;
/// the same for any sharding. Then "+" and 16 digits over what the folder's config.json, where it
/// has one, says of the arithmetic between them: rms_norm_eps, rope_theta, rope_scaling. Reads the
/// whole model. Throws UserError as open_hf_tensors and read_hf_config do.
std::string fingerprint_of_base(const std::string& dir);

/// "random-", 16 digits over everything that decides random weights (shape, seed and deviation),
/// and those of the arithmetic as above. `shape`: as the config has it, before any scaling of RoPE
/// that a run adds.
std::string fingerprint_of_random_base(const ModelShape& shape, uint64_t seed,
                                       double init_std = 0.02);

/// Whether two fingerprints may be those of one base: they are equal, or one of them is unknown
/// (empty) or from before there were digits of the arithmetic, of which the others are equal.
bool may_be_same_base(const std::string& one, const std::string& other);

/// What differs, for messages: "weights", or "rms_norm_eps, rope_theta or rope_scaling".
std::string base_difference(const std::string& one, const std::string& other);

/// XXH64 of a file's bytes, 16 hexadecimal digits. Throws UserError when it cannot be read.
std::string checksum_of_file(const std::string& path);

}  // namespace lococo
