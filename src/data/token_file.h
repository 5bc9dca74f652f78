// Tokens of many documents in one file: written as a stream, read through mmap.
//
// Layout, little-endian: a header of 96 bytes, the tokens (uint16 or uint32), zeros up to a
// multiple of 8, num_documents + 1 document offsets in tokens (uint64), num_documents + 1 name
// offsets in bytes (uint64), the names.
//
//   byte 0   magic "LOCOTOK1"
//   byte 8   version (uint32), bytes of a token: 2 or 4 (uint32)
//   byte 16  as uint64 each: vocabulary size, tokenizer fingerprint, source fingerprint, number
//            of documents, number of tokens, bytes of all names, xxh64 of the body, zero, zero,
//            xxh64 of the 88 bytes before
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config/data_config.h"

namespace lococo {

/// What a token file says about its origin.
struct TokenFileInfo {
  /// Every id is below it; a vocabulary up to 65,536 is stored in 2 bytes per token.
  int64_t vocab_size = 0;
  uint64_t tokenizer_fingerprint = 0;  ///< Tokenizer::fingerprint
  uint64_t source_fingerprint = 0;     ///< of the source files and options; see data/prepare.h
};

/// A read-only token file. Opening checks the header and its checksum, every size against the
/// file's, and that the document offsets rise from 0 to the number of tokens; a reader never leaves
/// the mapping, whatever the file holds. A file that is written to while it is open is refused at
/// the next token that is read, unless it holds the same as before; one that is cut short ends the
/// process as MappedFile says. Const methods may be called from several threads. Throws
/// UserError naming the file for anything else than the format above.
class TokenFile {
 public:
  /// Our own format; or, when `raw_dtype` is given and the file does not begin with our magic, bare
  /// little-endian uint16 or uint32 tokens as one document, whose vocabulary is not known.
  explicit TokenFile(const std::string& path, RawTokenType raw_dtype = RawTokenType::kNone);
  /// Our own format in memory; `bytes` must outlive the object. `name` stands in for the path in
  /// messages.
  TokenFile(const std::byte* bytes, size_t num_bytes, const std::string& name);
  ~TokenFile();
  TokenFile(TokenFile&&) noexcept;
  TokenFile& operator=(TokenFile&&) noexcept;

  /// Whether the file begins with our magic. Throws UserError for what is not a regular file.
  static bool has_magic(const std::string& path);

  const std::string& path() const;
  int64_t num_tokens() const;
  int64_t num_documents() const;
  int64_t document_begin(int64_t document) const;  ///< index of its first token
  int64_t document_end(int64_t document) const;    ///< one past its last token
  int64_t document_length(int64_t document) const {
    return document_end(document) - document_begin(document);
  }
  std::string document_name(
      int64_t document) const;  ///< of the source: "Doyle_Micah_1889.txt", "part.jsonl:17"

  int64_t vocab_size() const;              ///< 0 for raw tokens
  uint64_t tokenizer_fingerprint() const;  ///< 0 for raw tokens
  uint64_t source_fingerprint() const;     ///< 0 for raw tokens
  bool is_raw() const;
  /// Of the tokens and their documents, wherever the file lies: the checksum that our own format
  /// keeps; of raw tokens one over the whole file, which is read for it.
  uint64_t content_fingerprint() const;

  /// The token at `index`; an index outside the file is our bug (std::out_of_range), an id outside
  /// the vocabulary is a damaged file (UserError with its position).
  int32_t token(int64_t index) const;
  /// Tokens [begin, begin + count) to `out`, checked like token().
  void copy(int64_t begin, int64_t count, int64_t* out) const;

  /// Reads the whole body. Throws UserError when it is not what was written. Raw tokens have no
  /// checksum and pass.
  void verify_checksum() const;
  /// Throws UserError with the position of the first id at or above `vocab_size`, the model's.
  /// Reads all tokens only if the file's own vocabulary is unknown or larger.
  void check_token_range(int64_t vocab_size) const;

 private:
  void parse();

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lococo
