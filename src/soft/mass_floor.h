// What is added to attention's mass before its logarithm joins a score; also for .cu files.
#pragma once

namespace lococo {

inline constexpr double kMassFloor = 0.001;

}  // namespace lococo
