// Text files, JSONL and folders of them as a stream of documents, one at a time, so that memory
// stays bounded.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "data/json_lines.h"

namespace lococo {

/// One file of a source: where it lies and how its documents are named.
struct DocumentFile {
  std::string path;
  std::string
      name;  ///< relative to the source folder; the file's own name when the source is one file
  uint64_t size = 0;        ///< bytes
  int64_t modified_ns = 0;  ///< modification time
};

/// The files behind `path`: the file itself, or all .txt, .md, .jsonl and .jsonl.zst below a
/// folder, sorted by the bytes of their relative names. Hidden entries and our own token files
/// (.tokens) in a folder are passed over. Throws UserError for a missing path, a folder without
/// documents and any other file name ending.
std::vector<DocumentFile> list_document_files(const std::string& path);

using DocumentCallback = std::function<void(const std::string& name, std::string&& text)>;

/// Calls `callback` for every document in order: a text file is one document (name: its relative
/// name); each record of a .jsonl or .jsonl.zst file is one (name: "file.jsonl:LINE"), its text
/// under the key `text_field`; blank lines are passed over. At most one document is held. Throws
/// UserError, with the file and the line or byte, for an empty file, bytes that are not UTF-8, a
/// malformed record, a record without text, a damaged zstd stream, or a line above kLongestLine.
void for_each_document(const std::string& path, const std::string& text_field,
                       const DocumentCallback& callback);

/// The same for one file of list_document_files.
void for_each_document(const DocumentFile& file, const std::string& text_field,
                       const DocumentCallback& callback, const ReadCallback& on_read = {});

/// What a dry run reads of a file: throws as for_each_document() would, as far as the first record
/// or the first 64 KiB of a text tell.
void look_at_document(const DocumentFile& file, const std::string& text_field);

/// The same for every file of list_document_files(path).
void look_at_documents(const std::string& path, const std::string& text_field);

}  // namespace lococo
