#include "core/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "core/error.h"
#include "core/progress_count.h"

namespace lococo {
namespace {

// One read() or write() call moves at most about 2 GiB on Linux.
constexpr size_t kLargestCall = size_t{1} << 30;

std::string remedy_for(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "; free some space or choose another folder";
    case EFBIG:
      return "; raise the file size limit (ulimit -f) or choose another folder";
    case EACCES:
    case EPERM:
    case EROFS:
      return "; choose a folder that you may write to";
    case ENOENT:
      return "; create its folder first";
    default:
      return "";
  }
}

[[noreturn]] void fail_to_read(const std::string& path, int error) {
  throw UserError(path + ": cannot read the file: " + std::strerror(error));
}

[[noreturn]] void fail_to_create_folder(const std::string& path, int error) {
  throw UserError(path + ": cannot create the folder: " + std::generic_category().message(error) +
                  remedy_for(error));
}

/// Throws UserError where `path`, or a folder on the way to it, is a link that leads nowhere: what
/// the system says of one is that it exists.
void refuse_dangling_link(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  for (fs::path at = path; !at.empty() && at != at.root_path(); at = at.parent_path()) {
    if (!fs::is_symlink(at, error) || fs::exists(at, error) || error) continue;
    const std::string target = fs::read_symlink(at, error).string();
    throw UserError(path + ": cannot create the folder: " + (at == path ? "it" : at.string()) +
                    " is a symbolic link to " + target +
                    ", which is not there; create that folder or remove the link");
  }
}

void require_regular(const std::string& path, const struct stat& status) {
  if (S_ISREG(status.st_mode)) return;
  const char* kind = S_ISDIR(status.st_mode)    ? "folder"
                     : S_ISFIFO(status.st_mode) ? "FIFO"
                     : S_ISSOCK(status.st_mode) ? "socket"
                                                : "device";
  throw UserError(path + ": is not a regular file but a " + kind);
}

/// False when nothing has this name.
bool look_up(const std::string& path, struct stat* status) {
  if (::stat(path.c_str(), status) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  throw UserError(path + ": cannot be looked up: " + std::strerror(errno));
}

}  // namespace

InputFile::InputFile(const std::string& path) : path_(path) {
  struct stat status {};
  // Looked at before it is opened: opening a device may do something.
  if (::stat(path.c_str(), &status) != 0) fail_to_read(path, errno);
  require_regular(path, status);
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor_ < 0) fail_to_read(path, errno);
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    throw UserError(path + ": is not a regular file");
  }
  size_ = static_cast<uint64_t>(status.st_size);
}

InputFile::~InputFile() { ::close(descriptor_); }

size_t InputFile::read(void* out, size_t num_bytes) {
  char* next = static_cast<char*>(out);
  size_t left = num_bytes;
  while (left > 0) {
    const ssize_t got = ::read(descriptor_, next, std::min(left, kLargestCall));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_to_read(path_, errno);
    if (got == 0) break;
    next += got;
    left -= static_cast<size_t>(got);
    note_progress();
  }
  return num_bytes - left;
}

bool path_exists(const std::string& path) {
  struct stat status {};
  return look_up(path, &status);
}

bool is_folder(const std::string& path) {
  struct stat status {};
  return look_up(path, &status) && S_ISDIR(status.st_mode);
}

std::string parent_folder(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

std::string read_text_file(const std::string& path, uint64_t most_bytes) {
  InputFile file(path);
  if (file.size() > most_bytes) {
    throw UserError(path + ": is " + std::to_string(file.size()) + " bytes long, more than the " +
                    std::to_string(most_bytes) +
                    " that such a file may have; is it the right one?");
  }
  std::string content(file.size(), '\0');
  content.resize(file.read(content.data(), content.size()));
  return content;
}

void write_text_file(const std::string& path, const std::string& content) {
  AtomicFile file(path);
  file.write(content.data(), content.size());
  file.commit();
}

void sync_directory(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) throw UserError(path + ": cannot open the folder: " + std::strerror(errno));
  // Some network file systems cannot sync a folder; a rename there is as durable as it gets.
  const int result = ::fsync(descriptor);
  const int error = errno;
  ::close(descriptor);
  if (result != 0 && error != EINVAL && error != ENOTSUP && error != EROFS) {
    throw UserError(path + ": cannot sync the folder: " + std::strerror(error));
  }
}

void make_directories(const std::string& path) {
  if (path.empty()) throw UserError("cannot create a folder without a name");
  refuse_dangling_link(path);
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error && !std::filesystem::is_directory(path, error) && !error) {
    error = std::make_error_code(std::errc::not_a_directory);
  }
  if (error) fail_to_create_folder(path, error.value());
}

void check_can_make_directories(const std::string& path) {
  if (path.empty()) throw UserError("cannot create a folder without a name");
  refuse_dangling_link(path);
  std::string there = path;  // in the end the nearest that is there
  struct stat status {};
  while (::stat(there.c_str(), &status) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) fail_to_create_folder(path, errno);
    there = parent_folder(there);
  }
  if (!S_ISDIR(status.st_mode)) fail_to_create_folder(path, ENOTDIR);
  if (::faccessat(AT_FDCWD, there.c_str(), W_OK | X_OK, AT_EACCESS) != 0)
    fail_to_create_folder(path, errno);
}

std::string temporary_name(const std::string& path) { return path + ".tmp"; }

AtomicFile::AtomicFile(const std::string& path) : path_(path), temporary_(temporary_name(path)) {
  // Never through a symlink, and never waiting for the reader of a pipe.
  descriptor_ = ::open(temporary_.c_str(),
                       O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  if (descriptor_ < 0) fail("cannot create the file", errno);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* action, int error) {
  throw UserError(path_ + ": " + action + ": " + std::strerror(error) + remedy_for(error));
}

void AtomicFile::write(const void* data, size_t num_bytes) {
  const char* next = static_cast<const char*>(data);
  while (num_bytes > 0) {
    const ssize_t written = ::write(descriptor_, next, std::min(num_bytes, kLargestCall));
    if (written < 0) {
      if (errno == EINTR) continue;
      fail("cannot write", errno);
    }
    next += written;
    num_bytes -= static_cast<size_t>(written);
    note_progress();
  }
}

void AtomicFile::commit() {
  if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != ENOTSUP) {
    fail("cannot write", errno);
  }
  const int descriptor = descriptor_;
  descriptor_ = -1;
  int error = ::close(descriptor) == 0 ? 0 : errno;
  if (error == 0 && ::rename(temporary_.c_str(), path_.c_str()) != 0) error = errno;
  if (error != 0) {
    ::unlink(temporary_.c_str());
    fail("cannot write", error);
  }
  sync_directory(parent_folder(path_));
}

}  // namespace lococo
