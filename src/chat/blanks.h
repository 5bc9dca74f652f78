// Blanks at the ends of a text.
#pragma once

#include <string>

namespace lococo {

/// Without the blanks that Python's lstrip() and rstrip() remove: those of Unicode. UTF-8.
std::string strip_left(const std::string& text);
std::string strip_right(const std::string& text);

}  // namespace lococo
