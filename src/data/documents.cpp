#include "data/documents.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "core/error.h"
#include "core/files.h"
#include "data/line_reader.h"

namespace lococo {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKnownEndings = ".txt, .md, .jsonl or .jsonl.zst";
// Deeper folders are a link to a folder above.
constexpr int kMaxFolderDepth = 32;

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
  std::error_code error;
  file.size = fs::file_size(path, error);
  const auto modified = error ? fs::file_time_type{} : fs::last_write_time(path, error);
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
    std::error_code ignored;
    if (fs::is_directory(it->path(), ignored)) {
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

void read_text_document(const DocumentFile& file, const DocumentCallback& callback) {
  std::string text = read_text_file(file.path);
  if (text.empty()) throw UserError(file.path + ": the file is empty; remove it or fill it");
  const size_t bad = find_invalid_utf8(text);
  if (bad != std::string::npos) {
    throw UserError(file.path + ": byte " + std::to_string(bad) +
                    " is not UTF-8; convert the file, for example with iconv");
  }
  callback(file.name, std::move(text));
}

std::string text_of_record(const std::string& line, const std::string& place,
                           const std::string& text_field) {
  nlohmann::json record;
  try {
    record = nlohmann::json::parse(line);
  } catch (const nlohmann::json::parse_error& e) {
    // The library's own message quotes what it has read, which may be megabytes.
    throw UserError(place + ": malformed JSON at byte " + std::to_string(e.byte) +
                    " of the line; each line must be one JSON object");
  } catch (const nlohmann::json::exception&) {
    throw UserError(place + ": JSON with a number out of range");
  }
  if (!record.is_object()) throw UserError(place + ": not a JSON object but " + record.type_name());
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
                          const DocumentCallback& callback) {
  LineReader reader(file.path);
  std::string line;
  bool any = false;
  while (reader.next(&line)) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    any = true;
    const std::string number = std::to_string(reader.line_number());
    const std::string place = file.path + ":" + number;
    const size_t bad = find_invalid_utf8(line);
    if (bad != std::string::npos) {
      throw UserError(place + ": byte " + std::to_string(reader.line_offset() + bad) +
                      " of the text is not UTF-8; convert the file, for example with iconv");
    }
    callback(file.name + ":" + number, text_of_record(line, place, text_field));
  }
  if (!any) throw UserError(file.path + ": holds no records; remove it or fill it");
}

// Length of the UTF-8 sequence that starts at p (at most `left` bytes), 0 when it is not valid.
size_t utf8_sequence(const unsigned char* p, size_t left) {
  const unsigned char lead = p[0];
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                        : lead >= 0xE0 && lead <= 0xEF ? 3
                        : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                       : 0;
  if (length == 0 || length > left) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((p[i] & 0xC0) != 0x80) return 0;
  }
  // Overlong forms, surrogates and code points above U+10FFFF show in the second byte.
  const bool wrong = (lead == 0xE0 && p[1] < 0xA0) || (lead == 0xED && p[1] > 0x9F) ||
                     (lead == 0xF0 && p[1] < 0x90) || (lead == 0xF4 && p[1] > 0x8F);
  return wrong ? 0 : length;
}

}  // namespace

std::vector<DocumentFile> list_document_files(const std::string& path) {
  const fs::path root(path);
  std::error_code error;
  const auto status = fs::status(root, error);
  if (!fs::exists(status)) throw UserError(path + ": no such file or folder");
  std::vector<DocumentFile> files;
  if (!fs::is_directory(status)) {
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
                       const DocumentCallback& callback) {
  if (is_jsonl_file(file.path)) {
    read_jsonl_documents(file, text_field, callback);
  } else {
    read_text_document(file, callback);
  }
}

void for_each_document(const std::string& path, const std::string& text_field,
                       const DocumentCallback& callback) {
  for (const DocumentFile& file : list_document_files(path)) {
    for_each_document(file, text_field, callback);
  }
}

size_t find_invalid_utf8(const std::string& text) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_sequence(bytes + at, text.size() - at);
    if (length == 0) return at;
    at += length;
  }
  return std::string::npos;
}

}  // namespace lococo
