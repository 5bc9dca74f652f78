// Bytes that are no UTF-8: found, refused, or replaced as other programs that read and write a
// model's text replace them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace lococo {

/// Where the first byte stands that does not continue valid UTF-8 (no overlong forms, no
/// surrogates); std::string_view::npos when all is valid.
size_t find_invalid_utf8(std::string_view text);

/// Throws UserError for text that is not UTF-8, with the byte; `place` begins the line.
void check_utf8(std::string_view text, const std::string& place);

/// Throws what check_utf8() throws for a byte that stands at `byte`.
[[noreturn]] void fail_invalid_utf8(const std::string& place, uint64_t byte);

/// `text` with U+FFFD for each longest run of bytes that begins a character and does not end it,
/// and for each byte that begins none: what Python's errors="replace" and Rust's from_utf8_lossy
/// give.
std::string replace_invalid_utf8(std::string_view text);

}  // namespace lococo
