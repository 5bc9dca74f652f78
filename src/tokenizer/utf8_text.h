// Bytes that are no UTF-8, as the other programs that read and write a model's text treat them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lococo {

/// How many bytes of `text` from its beginning are valid UTF-8.
size_t valid_utf8_prefix(std::string_view text);

/// `text` with U+FFFD for each longest run of bytes that begins a character and does not end it,
/// and for each byte that begins none: what Python's errors="replace" and Rust's from_utf8_lossy
/// give.
std::string replace_invalid_utf8(std::string_view text);

}  // namespace lococo
