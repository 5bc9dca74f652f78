// Units of what is printed.
#pragma once

namespace lococo {

inline constexpr double kMiB = 1024.0 * 1024.0;
inline constexpr double kGiB = 1024.0 * kMiB;

}  // namespace lococo
