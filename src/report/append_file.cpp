#include "report/append_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"

namespace lococo {

void append_to_file(const std::string& path, std::string_view bytes) {
  const int file =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666);
  int error = file < 0 ? errno : 0;
  while (error == 0 && !bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR) {
      error = errno;
    }
  }
  if (file >= 0 && ::close(file) != 0 && error == 0) error = errno;
  if (error != 0) {
    throw UserError(path + ": cannot append to the file: " + std::strerror(error) +
                    "; train.output must be a folder on a disk with space that you may write to");
  }
}

}  // namespace lococo
