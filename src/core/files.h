// Small file helpers whose errors are the user's to mend.
#pragma once

#include <cstddef>
#include <string>

namespace lococo {

/// The whole file. Throws UserError naming the file.
std::string read_text_file(const std::string& path);

/// Writes to `path`.tmp, syncs and renames, so that `path` is the old or the whole new content.
/// Throws UserError (full disk, no permission).
void write_text_file(const std::string& path, const std::string& content);

/// Syncs a folder's entries to disk, so that a rename inside it survives a power cut.
void sync_directory(const std::string& path);

/// Creates the folder and its parents. Throws UserError when that fails.
void make_directories(const std::string& path);

/// Writes a file under the name `path`.tmp; only commit() gives it the name `path`. Without a
/// commit the destructor removes what was written. Every error is a UserError naming `path`.
/// A process that writes near a file size limit must ignore SIGXFSZ to get the error instead of
/// the signal.
class AtomicFile {
 public:
  explicit AtomicFile(const std::string& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t num_bytes);
  /// Syncs the content, renames it to `path` and syncs the folder.
  void commit();

 private:
  [[noreturn]] void fail(const char* action, int error);

  std::string path_;
  std::string temporary_;
  int descriptor_ = -1;
};

}  // namespace lococo
