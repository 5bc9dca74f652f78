// What a checkpoint's base was: adapters and convolution kernels mean nothing on other weights.
#pragma once

#include <cstdint>
#include <string>

#include "core/config.h"

namespace lococo {

/// 16 hexadecimal digits over every tensor's name, dtype, shape and bytes, in the order of names; the
/// same for any sharding. Reads the whole model. Throws UserError as open_hf_tensors does.
std::string fingerprint_of_base(const std::string& dir);

/// "random-" and 16 digits over everything that decides random weights: shape, deviation and seed.
std::string fingerprint_of_random(const ModelShape& shape, double init_std, uint64_t seed);

/// Of the base that `model` names: its folder, or random weights when `model.path` is empty.
std::string fingerprint_of_base(const ModelConfig& model, uint64_t seed);

/// XXH64 of a file's bytes, 16 hexadecimal digits. Throws UserError when it cannot be read.
std::string checksum_of_file(const std::string& path);

}  // namespace lococo
