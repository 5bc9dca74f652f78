// A tokenizer.json of which tests know every id.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

namespace lococo::testing {

inline constexpr int32_t kHello = 259;      ///< the word "hello"
inline constexpr int32_t kSpaceWor = 262;   ///< " wor"
inline constexpr int32_t kEndOfText = 263;  ///< "<|endoftext|>", special
inline constexpr int32_t kEndOfTurn = 264;  ///< "<|im_end|>", special
inline constexpr int64_t kBpeVocabulary = 265;

/// Byte-level BPE with GPT-2's pre-tokenizer. Ids: b the byte b, 256 "he", 257 "ll", 258 "hell",
/// kHello, 260 " w", 261 " wo", kSpaceWor, and the two special tokens.
nlohmann::json tiny_bpe();

/// `json` as the file `path`.
void write_json(const std::string& path, const nlohmann::json& json);

}  // namespace lococo::testing
