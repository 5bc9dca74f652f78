// The sizes of one call of attention.
#pragma once

#include <cstdint>
#include <sstream>
#include <string>

namespace lococo::testing {

/// Letters as in tensor/kit/shape.h.
struct QkvShape {
  int64_t B, H, G, L, S, D;
};

inline std::string text(const QkvShape& s) {
  std::ostringstream out;
  out << "B=" << s.B << " H=" << s.H << " G=" << s.G << " L=" << s.L << " S=" << s.S
      << " D=" << s.D;
  return out.str();
}

}  // namespace lococo::testing
