// Which token of a text holds a byte of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace lococo {

/// The first of `ids`, the tokens of `text`, whose text begins at or after `byte`, which begins a
/// character; ids.size() for none. A token that straddles the place comes before it.
size_t token_at(const Tokenizer& tokenizer, const std::string& text,
                const std::vector<int32_t>& ids, size_t byte);

}  // namespace lococo
