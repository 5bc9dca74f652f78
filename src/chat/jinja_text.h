// Jinja templates that differ in blanks and spelling alone become the same text.
#pragma once

#include <string>
#include <string_view>

namespace lococo {

/// A template as one text for comparisons, nothing of it interpreted: comments and blanks outside
/// of string literals are gone, literals stand in single quotes with escapes for line ends, tabs,
/// quotes and backslashes, neighbours that are added ('a' + "b") are one, x.role and x["role"] are
/// x['role'] (content alike). Text between tags becomes {{'text'}}, after the removal of blanks
/// that Jinja's "-" and transformers' trim_blocks and lstrip_blocks ask for.
std::string canonical_template(std::string_view text);

/// The content of a literal of a canonical template, `begin` being the place after its opening
/// quote: its escapes are replaced, and it ends at the closing quote.
std::string literal_at(std::string_view canonical, size_t begin);

}  // namespace lococo
