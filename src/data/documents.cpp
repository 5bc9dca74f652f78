#include "data/documents.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/error.h"
#include "core/files.h"
#include "data/json_lines.h"
#include "tokenizer/utf8_text.h"

namespace lococo {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKnownEndings = ".txt, .md, .jsonl or .jsonl.zst";
// Deeper folders are a link to a folder above.
constexpr int kMaxFolderDepth = 32;
constexpr uint64_t kLookedAt = uint64_t{1} << 16;  // bytes of a text, by look_at_document()
constexpr size_t kLongestCharacter = 4;            // bytes of UTF-8

bool is_text_file(const std::string& name) {
  return name.ends_with(".txt") || name.ends_with(".md");
}

bool is_jsonl_file(const std::string& name) {
  return name.ends_with(".jsonl") || name.ends_with(".jsonl.zst");
}

// Token files that lie beside the sources they were made of.
bool is_our_output(const std::string& name) {
  return name.ends_with(".tokens") || name.ends_with(".tokens.tmp");
}

DocumentFile describe(const fs::path& path, const std::string& name) {
  DocumentFile file;
  file.path = path.string();
  file.name = name;
  file.size = InputFile(file.path).size();
  std::error_code error;
  const auto modified = fs::last_write_time(path, error);
  if (error) throw UserError(file.path + ": cannot read: " + error.message());
  using std::chrono::nanoseconds;
  file.modified_ns = std::chrono::duration_cast<nanoseconds>(modified.time_since_epoch()).count();
  return file;
}

void list_folder(const fs::path& folder, const std::string& prefix, int depth,
                 std::vector<DocumentFile>* files) {
  if (depth > kMaxFolderDepth) {
    throw UserError(folder.string() + ": more than " + std::to_string(kMaxFolderDepth) +
                    " folders deep; does a link point to a folder above?");
  }
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with('.') || is_our_output(name)) continue;
    if (is_folder(it->path().string())) {
      list_folder(it->path(), prefix + name + "/", depth + 1, files);
    } else if (is_text_file(name) || is_jsonl_file(name)) {
      files->push_back(describe(it->path(), prefix + name));
    } else {
      throw UserError(it->path().string() + ": not a document (" + kKnownEndings +
                      "); move it out of the folder or name the files one by one");
    }
  }
  if (error) throw UserError(folder.string() + ": cannot read: " + error.message());
}

/// Of the whole text or its beginning, which may end within a character.
void check_text(const std::string& path, const std::string& text, bool is_whole) {
  if (text.empty()) throw UserError(path + ": the file is empty; remove it or fill it");
  const size_t bad = find_invalid_utf8(text);
  if (bad == std::string::npos || (!is_whole && text.size() - bad < kLongestCharacter)) return;
  fail_invalid_utf8(path, bad);
}

void read_text_document(const DocumentFile& file, const DocumentCallback& callback) {
  std::string text = read_text_file(file.path);
  check_text(file.path, text, /*is_whole=*/true);
  callback(file.name, std::move(text));
}

std::string text_of_record(nlohmann::json& record, const std::string& place,
                           const std::string& text_field) {
  const auto it = record.find(text_field);
  if (it == record.end()) {
    throw UserError(place + ": the record has no key '" + text_field +
                    "'; data.text_field names the key of the text");
  }
  if (!it->is_string()) {
    throw UserError(place + ": key '" + text_field + "' holds no text but " + it->type_name() +
                    "; data.text_field names the key of the text");
  }
  return std::move(it->get_ref<std::string&>());
}

void read_jsonl_documents(const DocumentFile& file, const std::string& text_field,
                          const DocumentCallback& callback, const ReadCallback& on_read) {
  const auto hand_over = [&](nlohmann::json& record, const std::string& place) {
    const std::string line = place.substr(file.path.size());
    callback(file.name + line, text_of_record(record, place, text_field));
  };
  for_each_json_line(file.path, hand_over, on_read);
}

}  // namespace

std::vector<DocumentFile> list_document_files(const std::string& path) {
  const fs::path root(path);
  if (!path_exists(path)) throw UserError(path + ": no such file or folder");
  std::vector<DocumentFile> files;
  if (!is_folder(path)) {
    const std::string name = root.filename().string();
    if (!is_text_file(name) && !is_jsonl_file(name)) {
      throw UserError(path + ": unknown kind of file; a source is " + kKnownEndings +
                      ", a folder of them, a token file, or raw tokens (.bin)");
    }
    files.push_back(describe(root, name));
    return files;
  }
  list_folder(root, "", 1, &files);
  if (files.empty()) {
    throw UserError(path + ": the folder holds no documents (" + kKnownEndings + ")");
  }
  std::sort(files.begin(), files.end(),
            [](const DocumentFile& a, const DocumentFile& b) { return a.name < b.name; });
  return files;
}

void for_each_document(const DocumentFile& file, const std::string& text_field,
                       const DocumentCallback& callback, const ReadCallback& on_read) {
  if (is_jsonl_file(file.path)) {
    read_jsonl_documents(file, text_field, callback, on_read);
  } else {
    read_text_document(file, callback);
    if (on_read) on_read(file.size);
  }
}

void for_each_document(const std::string& path, const std::string& text_field,
                       const DocumentCallback& callback) {
  for (const DocumentFile& file : list_document_files(path)) {
    for_each_document(file, text_field, callback);
  }
}

void look_at_document(const DocumentFile& file, const std::string& text_field) {
  if (is_jsonl_file(file.path)) {
    with_first_json_line(file.path, [&](nlohmann::json& record, const std::string& place) {
      text_of_record(record, place, text_field);
    });
    return;
  }
  InputFile input(file.path);
  std::string beginning(std::min(input.size(), kLookedAt), '\0');
  beginning.resize(input.read(beginning.data(), beginning.size()));
  check_text(file.path, beginning, /*is_whole=*/beginning.size() == input.size());
}

void look_at_documents(const std::string& path, const std::string& text_field) {
  for (const DocumentFile& file : list_document_files(path)) look_at_document(file, text_field);
}

}  // namespace lococo
