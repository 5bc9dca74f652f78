// Small file helpers whose errors are the user's to mend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace lococo {

/// A regular file that is open for reading. Whatever is read comes through it: a FIFO would wait
/// for ever, a device has no end. Throws UserError, with the path, for anything but a regular file
/// (links are followed) and for a name that cannot be opened.
class InputFile {
 public:
  explicit InputFile(const std::string& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  int descriptor() const { return descriptor_; }
  uint64_t size() const { return size_; }  ///< bytes when it was opened

  /// Fills `out` as far as the file goes; returns the bytes read, less than `num_bytes` at its end.
  size_t read(void* out, size_t num_bytes);

 private:
  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

/// Whether something has this name, links followed. Throws UserError for a name that cannot be
/// looked up: a component that is too long, a loop of links, no permission.
bool path_exists(const std::string& path);

/// Whether it is a folder; throws as path_exists does.
bool is_folder(const std::string& path);

/// The folder that holds what has this name; "." for a name alone.
std::string parent_folder(const std::string& path);

/// The whole file. Throws UserError naming the file, as InputFile does, and for one above
/// `most_bytes`.
std::string read_text_file(const std::string& path, uint64_t most_bytes = uint64_t{1} << 36);

/// Writes beside it, syncs and renames, so that `path` is the old or the whole new content.
/// Throws UserError (full disk, no permission).
void write_text_file(const std::string& path, const std::string& content);

/// Syncs a folder's entries to disk, so that a rename inside it survives a power cut.
void sync_directory(const std::string& path);

/// Creates the folder and its parents. Throws UserError when that fails.
void make_directories(const std::string& path);

/// Throws UserError as make_directories() would, and for a folder that is there and not writable;
/// makes nothing.
void check_can_make_directories(const std::string& path);

/// The file beside `path` that is written first and renamed when it is whole.
std::string temporary_name(const std::string& path);

/// Writes a file under its temporary name; only commit() gives it the name `path`. Without a
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
