// What tests of prepared sources begin with.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/files.h"
#include "core/log.h"
#include "data/prepare.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/tiny_tokenizer.h"
#include "tokenizer/sentencepiece_tokenizer.h"

namespace lococo::testing {

/// A folder with a tokenizer, a source folder of three texts and a config that points at a cache.
struct PreparePlace {
  PreparePlace() {
    configure_log(LogLevel::kError, true);
    write_tiny_tokenizer(folder / "t.model");
    folder.make("books");
    write_text_file(folder / "books/b.txt", "hello world");
    write_text_file(folder / "books/a.txt", "abc");
    write_text_file(folder / "books/c.jsonl", "{\"text\": \"xyz\"}\n{\"text\": \"\"}\n");
    config.cache_dir = folder / "cache";
    source.path = folder / "books";
  }
  ~PreparePlace() { configure_log(LogLevel::kInfo, true); }

  std::string prepare() const {
    return prepare_source(source, config, SentencePieceTokenizer(folder / "t.model"));
  }
  size_t num_cached() const {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(config.cache_dir))
      count += entry.exists() ? 1 : 0;
    return count;
  }

  TemporaryFolder folder;
  DataConfig config;
  DataSource source;
};

/// The ids of a document.
inline std::vector<int32_t> document(const TokenFile& file, int64_t i) {
  std::vector<int32_t> ids;
  for (int64_t t = file.document_begin(i); t < file.document_end(i); ++t)
    ids.push_back(file.token(t));
  return ids;
}

/// A text of letters between BOS and EOS.
inline std::vector<int32_t> framed(const std::string& text) {
  std::vector<int32_t> ids = text.empty() ? std::vector<int32_t>{} : tiny_ids(text);
  ids.insert(ids.begin(), 1);
  ids.push_back(2);
  return ids;
}

}  // namespace lococo::testing
