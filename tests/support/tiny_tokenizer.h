// A SentencePiece model of single letters, so that tests know every id.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lococo::testing {

/// Ids: 0 unknown, 1 BOS, 2 EOS, 3 space, 4 "a" ... 29 "z". The library puts a space before each
/// text. `with_bos` false: a model without BOS and EOS.
void write_tiny_tokenizer(const std::string& path, bool with_bos = true);

/// Its ids of `text`, written independently of the library.
std::vector<int32_t> tiny_ids(const std::string& text);

}  // namespace lococo::testing
