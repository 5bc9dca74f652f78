// A SentencePiece model of single letters, so that tests know every id.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lococo::testing {

/// Ids: 0 unknown, 1 BOS, 2 EOS, 3 space, 4 "a" ... 29 "z". The library puts a space before each
/// text. `with_bos` false: a model without BOS and EOS.
void write_tiny_tokenizer(const std::string& path, bool with_bos = true);

/// Every text has ids here: 0 unknown, 1 BOS, 2 EOS, 3 + b the byte b, 259 space, 260 "a" ... 285
/// "z", 286 the word " the".
void write_byte_tokenizer(const std::string& path);
inline constexpr int64_t kByteVocabulary = 287;

/// Ids of the letters' tokenizer for `text`, written independently of the library.
std::vector<int32_t> tiny_ids(const std::string& text);

}  // namespace lococo::testing
