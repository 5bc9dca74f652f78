#include "weights/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "core/error.h"
#include "core/files.h"
#include "core/log.h"

namespace lococo {
namespace {

/// What the holder of the lock wrote into it: its number, as digits.
std::string holder_of(int descriptor) {
  char text[32] = {};
  const ssize_t length = ::pread(descriptor, text, sizeof(text) - 1, 0);
  const std::string number(text, length > 0 ? static_cast<size_t>(length) : 0);
  return number.substr(0, number.find_first_not_of("0123456789"));
}

void write_holder(int descriptor) {
  const std::string number = std::to_string(::getpid()) + "\n";
  // The number is for messages only, so that a full disk does not matter here.
  if (::ftruncate(descriptor, 0) != 0) return;
  if (::pwrite(descriptor, number.data(), number.size(), 0) < 0) return;
}

}  // namespace

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

FileLock lock_output(const std::string& folder) {
  make_directories(folder);
  const std::string path = folder + "/.lock";
  const int descriptor =
      ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  if (descriptor < 0) {
    throw UserError(path + ": cannot open the lock of the folder: " + std::strerror(errno) +
                    "; choose another train.output");
  }
  FileLock lock(descriptor);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    throw UserError(path + ": is not a regular file; remove it or choose another train.output");
  }
  if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) {
    write_holder(descriptor);
    return lock;
  }
  if (errno != EWOULDBLOCK) {
    log_warn(path + ": this file system has no locks (" + std::strerror(errno) +
             "); make sure that no other run writes here");
    return {};
  }
  const std::string holder = holder_of(descriptor);
  throw UserError(folder + ": another lococo-train" +
                  (holder.empty() ? "" : " (pid " + holder + ")") +
                  " is writing here; wait for it, stop it, or choose another train.output");
}

FileLock lock_folder(const std::string& folder, LockWait wait) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) return {};
  FileLock lock(descriptor);
  struct stat status {};
  const int how = wait == LockWait::kYes ? LOCK_EX : LOCK_EX | LOCK_NB;
  // Between opening and locking another process may have removed it.
  const bool held =
      ::flock(descriptor, how) == 0 && ::fstat(descriptor, &status) == 0 && status.st_nlink > 0;
  return held ? std::move(lock) : FileLock();
}

}  // namespace lococo
