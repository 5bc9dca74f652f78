// The 256 printable characters by which byte-level BPE writes bytes in its files.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace lococo {

/// The character (UTF-8) of each byte: printable ones of Latin-1 stand for themselves, the others
/// for U+0100 and on, in order. The alphabet of GPT-2 (Radford et al. 2019).
const std::array<std::string, 256>& byte_alphabet();

/// The bytes that a token's text of valid UTF-8 stands for; nullopt when it has a character that is
/// none of the alphabet's.
std::optional<std::string> bytes_of_token(std::string_view text);

}  // namespace lococo
