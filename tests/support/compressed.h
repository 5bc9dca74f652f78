// What the program zstd makes of a text.
#pragma once

#include <zstd.h>

#include <string>

namespace lococo::testing {

inline std::string compressed(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

}  // namespace lococo::testing
