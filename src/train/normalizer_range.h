// Keeps trained normalizers shares of one, or tells when they no longer are.
#pragma once

#include <string>
#include <vector>

#include "model/registry.h"

namespace lococo {

/// cache.normalizer_range: unit. Puts every trained normalizer onto [0, 1], both ends included.
/// Never waits for the GPU.
void clamp_normalizers(const std::vector<RegisteredParameter>& parameters);

/// One line for the log when a trained normalizer lies outside [0, 1], where a mixed slot is no
/// mean of tokens and the model may fail on texts longer than those of the training; else empty.
/// Waits for the GPU.
std::string normalizer_warning(const std::vector<RegisteredParameter>& parameters);

}  // namespace lococo
