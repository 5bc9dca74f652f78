// Writes a token file (layout: data/token_file.h) as a stream.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/token_file.h"

namespace lococo {

/// Writes `path`.tmp document by document; finish() syncs it and renames it, so that `path` is
/// never half a file. Destroyed without finish(), it removes the temporary file. While another
/// process writes the same file, the constructor waits for it (and says so): look then whether
/// `path` is what is wanted. Throws UserError when the disk is full or the place is not writable.
class TokenFileWriter {
 public:
  TokenFileWriter(const std::string& path, const TokenFileInfo& info);
  ~TokenFileWriter();
  TokenFileWriter(const TokenFileWriter&) = delete;
  TokenFileWriter& operator=(const TokenFileWriter&) = delete;

  /// Appends one document (it may be empty). An id outside [0, vocab_size) is our bug:
  /// std::logic_error.
  void add_document(const std::string& name, const std::vector<int32_t>& ids);
  void finish();

  int64_t num_documents() const;
  int64_t num_tokens() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lococo
