// What a checkpoint's base was: adapters and convolution kernels mean nothing on other weights.
#pragma once

#include <cstdint>
#include <string>

#include "core/model_shape.h"

namespace lococo {

/// 16 hexadecimal digits over every tensor's name, dtype, shape and bytes, in the order of names;
/// the same for any sharding. Reads the whole model. Throws UserError as open_hf_tensors does.
std::string fingerprint_of_base(const std::string& dir);

/// "random-" and 16 digits over everything that decides random weights: shape, seed and deviation.
std::string fingerprint_of_random_base(const ModelShape& shape, uint64_t seed,
                                       double init_std = 0.02);

/// XXH64 of a file's bytes, 16 hexadecimal digits. Throws UserError when it cannot be read.
std::string checksum_of_file(const std::string& path);

}  // namespace lococo
