#include "core/mapped_file.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <mutex>

#include "core/error.h"

namespace lococo {
namespace {

/// One mapping as the signal handler sees it. Entries are used again and never freed, so that the
/// handler may walk the list at any moment.
struct Watch {
  std::atomic<uintptr_t> begin{0};  ///< 0: free
  std::atomic<size_t> num_bytes{0};
  std::string line;  ///< what is said; changed only while the entry is free
  Watch* next = nullptr;
};

std::atomic<Watch*> watches{nullptr};
std::mutex watches_mutex;  // of those who change the list

struct sigaction answered_before {};  ///< set before the first mapping is watched

/// Calls only what may be called in a signal handler.
void answer_bus_error(int /*signal*/, siginfo_t* info, void* /*context*/) {
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (const Watch* watch = watches.load(); watch != nullptr; watch = watch->next) {
    const uintptr_t begin = watch->begin.load();
    if (begin == 0 || address < begin || address - begin >= watch->num_bytes.load()) continue;
    const ssize_t ignored = ::write(STDERR_FILENO, watch->line.data(), watch->line.size());
    static_cast<void>(ignored);
    ::_exit(2);
  }
  // Not ours: the instruction runs again and meets whatever answered before. A signal that was sent
  // has no instruction, and is sent again.
  ::sigaction(SIGBUS, &answered_before, nullptr);
  if (info->si_code <= 0) ::raise(SIGBUS);
}

void install_handler() {
  struct sigaction action {};
  action.sa_sigaction = answer_bus_error;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, &answered_before);
}

std::string line_for(const std::string& path) {
  const UserError error(path +
                        ": the file was cut short while it was read; restore it and run "
                        "the command again");
  return std::string(program_invocation_short_name) + ": error: " + error.what() + "\n";
}

Watch* add_watch(const std::string& path, const void* data, size_t num_bytes) {
  static std::once_flag installed;
  std::call_once(installed, install_handler);
  const std::lock_guard<std::mutex> lock(watches_mutex);
  Watch* watch = watches.load();
  while (watch != nullptr && watch->begin.load() != 0) watch = watch->next;
  const bool is_new = watch == nullptr;
  if (is_new) watch = new Watch;  // NOLINT(cppcoreguidelines-owning-memory): lives for ever
  watch->line = line_for(path);
  watch->num_bytes = num_bytes;
  watch->begin = reinterpret_cast<uintptr_t>(data);
  if (is_new) {
    watch->next = watches.load();
    watches = watch;
  }
  return watch;
}

void remove_watch(void* watch) {
  const std::lock_guard<std::mutex> lock(watches_mutex);
  static_cast<Watch*>(watch)->begin = 0;
}

}  // namespace

MappedFile::MappedFile(const std::string& path) : file_(path), size_(file_.size()) {
  if (size_ == 0) return;
  void* mapping = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file_.descriptor(), 0);
  if (mapping == MAP_FAILED) {
    throw UserError(path + ": cannot map the file: " + std::strerror(errno));
  }
  data_ = static_cast<const std::byte*>(mapping);
  watch_ = add_watch(path, data_, size_);
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  remove_watch(watch_);
  ::munmap(const_cast<std::byte*>(data_), size_);
}

int64_t MappedFile::modified_ns() const {
  struct stat status {};
  if (::fstat(file_.descriptor(), &status) != 0) {
    throw UserError(path() + ": cannot read: " + std::strerror(errno));
  }
  if (static_cast<uint64_t>(status.st_size) != size_) {
    throw UserError(path() + ": its length changed from " + std::to_string(size_) + " to " +
                    std::to_string(status.st_size) + " bytes while it was in use; restore it");
  }
  return int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

}  // namespace lococo
