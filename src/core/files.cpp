#include "core/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

#include "core/error.h"

namespace lococo {
namespace {

// One write() call moves at most about 2 GiB on Linux.
constexpr size_t kLargestWrite = size_t{1} << 30;

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

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

std::string read_text_file(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    throw UserError(path + ": cannot read the file: " + std::strerror(errno));
  }
  if (S_ISDIR(status.st_mode)) throw UserError(path + ": is a folder, but a file is needed");
  std::ifstream file(path, std::ios::binary);
  if (!file) throw UserError(path + ": cannot read the file: " + std::strerror(errno));
  std::ostringstream content;
  if (file.peek() != std::ifstream::traits_type::eof()) content << file.rdbuf();
  if (file.bad() || content.bad()) throw UserError(path + ": reading the file failed");
  return std::move(content).str();
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
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error && !std::filesystem::is_directory(path, error) && !error) {
    error = std::make_error_code(std::errc::not_a_directory);
  }
  if (error) {
    throw UserError(path + ": cannot create the folder: " + error.message() +
                    remedy_for(error.value()));
  }
}

AtomicFile::AtomicFile(const std::string& path) : path_(path), temporary_(path + ".tmp") {
  descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
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
    const ssize_t written = ::write(descriptor_, next, std::min(num_bytes, kLargestWrite));
    if (written < 0) {
      if (errno == EINTR) continue;
      fail("cannot write", errno);
    }
    next += written;
    num_bytes -= static_cast<size_t>(written);
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
  sync_directory(folder_of(path_));
}

}  // namespace lococo
