// The bytes of our token file, shared by its writer and its reader (see data/token_file.h).
#pragma once

#include <xxhash.h>

#include <bit>
#include <cstddef>
#include <cstdint>

namespace lococo::token_format {

static_assert(std::endian::native == std::endian::little, "token files are little-endian");

inline constexpr char kMagic[8] = {'L', 'O', 'C', 'O', 'T', 'O', 'K', '1'};
inline constexpr uint32_t kVersion = 1;
/// The largest vocabulary whose ids fit in uint16.
inline constexpr int64_t kMaxVocab16 = 65536;

struct Header {
  char magic[8];
  uint32_t version;
  uint32_t token_bytes;
  uint64_t vocab_size;
  uint64_t tokenizer_fingerprint;
  uint64_t source_fingerprint;
  uint64_t num_documents;
  uint64_t num_tokens;
  uint64_t name_bytes;
  uint64_t body_checksum;
  uint64_t zero[2];
  uint64_t header_checksum;
};
static_assert(sizeof(Header) == 96 && offsetof(Header, header_checksum) == 88);

inline uint64_t header_checksum(const Header& header) {
  return XXH64(&header, offsetof(Header, header_checksum), 0);
}

/// Zero bytes after `token_part` bytes of tokens, so that the offsets lie at a multiple of 8.
inline uint64_t padding_after(uint64_t token_part) { return (8 - token_part % 8) % 8; }

}  // namespace lococo::token_format
