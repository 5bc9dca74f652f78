// Token files with known content.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/token_file.h"
#include "data/token_file_writer.h"
#include "tests/support/temporary_folder.h"

namespace lococo::testing {

inline constexpr uint64_t kSampleTokenizer = 0x1234567890ABCDEFull;
inline constexpr uint64_t kSampleSource = 0xFEDCBA0987654321ull;

/// Writes documents named "document 0", "document 1", ... and returns `path`.
inline std::string write_tokens(const std::string& path,
                                const std::vector<std::vector<int32_t>>& documents,
                                int64_t vocab_size) {
  TokenFileWriter writer(path, {vocab_size, kSampleTokenizer, kSampleSource});
  for (size_t i = 0; i < documents.size(); ++i) {
    writer.add_document("document " + std::to_string(i), documents[i]);
  }
  writer.finish();
  return path;
}

/// FOLDER/sample.tokens: three documents, one of them empty.
inline std::string sample_file(const TemporaryFolder& folder, int64_t vocab_size = 1000) {
  return write_tokens(folder / "sample.tokens", {{1, 5, 999}, {}, {7, 8, 9, 10}}, vocab_size);
}

/// Documents of the given lengths in which no id occurs twice: 0, 1, 2, ... over all of them.
inline std::vector<std::vector<int32_t>> counted_documents(const std::vector<int64_t>& lengths) {
  std::vector<std::vector<int32_t>> documents;
  int32_t next = 0;
  for (const int64_t length : lengths) {
    documents.emplace_back();
    for (int64_t t = 0; t < length; ++t) documents.back().push_back(next++);
  }
  return documents;
}

}  // namespace lococo::testing
