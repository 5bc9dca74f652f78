// Patterns of tokenizer.json files, in the words of the library that matches them here.
#pragma once

#include <string>

namespace lococo {

/// tokenizer.json files are made for Oniguruma with Ruby's syntax. Returns the pattern that means
/// the same to PCRE2 (pattern.h): \s, \w, \d as Unicode defines them, \p{Script} as the script
/// itself. Throws UserError, which names the construct, for whatever the two may take differently:
/// anchors, nested sets, back references, options but (?i: ), in which nothing but ASCII letters
/// stands, and so on. What remains different: characters that were assigned after the Unicode
/// version of either library.
std::string portable_pattern(const std::string& pattern);

/// The pattern that matches `text` itself.
std::string literal_pattern(const std::string& text);

}  // namespace lococo
