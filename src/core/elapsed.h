// Time that has passed, for figures and progress.
#pragma once

#include <chrono>

namespace lococo {

using SteadyTime = std::chrono::steady_clock::time_point;

inline SteadyTime steady_now() { return std::chrono::steady_clock::now(); }

inline double seconds_between(SteadyTime begin, SteadyTime end) {
  return std::chrono::duration<double>(end - begin).count();
}

inline double seconds_since(SteadyTime begin) { return seconds_between(begin, steady_now()); }

}  // namespace lococo
