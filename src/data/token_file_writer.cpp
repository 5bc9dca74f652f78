#include "data/token_file_writer.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/progress_count.h"
#include "data/token_format.h"

namespace lococo {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
constexpr std::chrono::milliseconds kPause{200};  // between two looks at another process's lock

/// A temporary file that only one process writes: locked while it is open, and a crashed process
/// leaves no lock behind. Another process waits until the first is done.
class LockedFile {
 public:
  explicit LockedFile(const std::string& path) : path_(path) {
    try {
      while (!open_and_lock()) continue;
      if (::ftruncate(fd_, 0) != 0) fail("cannot empty");
    } catch (const UserError&) {
      if (fd_ >= 0) ::close(fd_);
      throw;
    }
  }
  ~LockedFile() {
    if (fd_ < 0) return;
    std::remove(path_.c_str());
    ::close(fd_);
  }
  LockedFile(const LockedFile&) = delete;
  LockedFile& operator=(const LockedFile&) = delete;

  void write(const void* data, size_t size) {
    const char* p = static_cast<const char*>(data);
    while (size > 0) {
      const ssize_t written = ::write(fd_, p, size);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("cannot write");
      p += written;
      size -= static_cast<size_t>(written);
    }
  }

  void rewind() {
    if (::lseek(fd_, 0, SEEK_SET) != 0) fail("cannot seek in");
  }

  void commit(const std::string& final_path) {
    if (::fsync(fd_) != 0) fail("cannot sync");
    if (std::rename(path_.c_str(), final_path.c_str()) != 0) fail("cannot rename");
    ::close(fd_);
    fd_ = -1;
  }

 private:
  /// False when the process that held the lock has renamed or removed the file meanwhile.
  bool open_and_lock() {
    fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (fd_ < 0) fail("cannot create");
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) fail("cannot lock");
      log_info(path_ + ": waiting for another process that is writing this file");
      while (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) fail("cannot lock");
        std::this_thread::sleep_for(kPause);
        note_progress();
      }
    }
    struct stat opened {};
    struct stat named {};
    const bool same = ::fstat(fd_, &opened) == 0 && ::stat(path_.c_str(), &named) == 0 &&
                      opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
    if (same) return true;
    ::close(fd_);
    fd_ = -1;
    return false;
  }

  [[noreturn]] void fail(const char* what) const {
    throw UserError(path_ + ": " + what + ": " + std::strerror(errno) +
                    "; data.cache_dir names another place for token files");
  }

  std::string path_;
  int fd_ = -1;
};

}  // namespace

struct TokenFileWriter::Impl {
  Impl(const std::string& final_path, const TokenFileInfo& file_info)
      : path(final_path),
        info(file_info),
        narrow(file_info.vocab_size <= token_format::kMaxVocab16),
        file(temporary_name(final_path)),
        checksum(XXH64_createState()) {
    XXH64_reset(checksum, 0);
    buffer.reserve(kBufferBytes);
    const token_format::Header blank{};
    file.write(&blank, sizeof(blank));
  }
  ~Impl() { XXH64_freeState(checksum); }

  void append(const void* data, size_t size) {
    if (buffer.size() + size > kBufferBytes) flush();
    if (size >= kBufferBytes) {
      XXH64_update(checksum, data, size);
      file.write(data, size);
      return;
    }
    const char* p = static_cast<const char*>(data);
    buffer.insert(buffer.end(), p, p + size);
  }

  void flush() {
    XXH64_update(checksum, buffer.data(), buffer.size());
    file.write(buffer.data(), buffer.size());
    buffer.clear();
  }

  template <typename T>
  void append_ids(const std::vector<int32_t>& ids) {
    const std::vector<T> stored(ids.begin(), ids.end());
    append(stored.data(), stored.size() * sizeof(T));
  }

  std::string path;
  TokenFileInfo info;
  bool narrow;
  LockedFile file;
  XXH64_state_t* checksum;
  std::vector<char> buffer;
  std::vector<uint64_t> offsets{0};
  std::vector<uint64_t> name_offsets{0};
  std::string names;
};

TokenFileWriter::TokenFileWriter(const std::string& path, const TokenFileInfo& info) {
  if (info.vocab_size <= 0) throw std::logic_error("a token file needs a vocabulary size");
  make_directories(parent_folder(path));
  impl_ = std::make_unique<Impl>(path, info);
}

TokenFileWriter::~TokenFileWriter() = default;

void TokenFileWriter::add_document(const std::string& name, const std::vector<int32_t>& ids) {
  note_progress();
  for (const int32_t id : ids) {
    if (id < 0 || id >= impl_->info.vocab_size) {
      throw std::logic_error("token id " + std::to_string(id) + " outside the vocabulary of " +
                             std::to_string(impl_->info.vocab_size));
    }
  }
  if (impl_->narrow) {
    impl_->append_ids<uint16_t>(ids);
  } else {
    impl_->append_ids<uint32_t>(ids);
  }
  impl_->offsets.push_back(impl_->offsets.back() + ids.size());
  impl_->names += name;
  impl_->name_offsets.push_back(impl_->names.size());
}

void TokenFileWriter::finish() {
  Impl& s = *impl_;
  token_format::Header header{};
  std::memcpy(header.magic, token_format::kMagic, sizeof(header.magic));
  header.version = token_format::kVersion;
  header.token_bytes = s.narrow ? 2 : 4;
  header.vocab_size = static_cast<uint64_t>(s.info.vocab_size);
  header.tokenizer_fingerprint = s.info.tokenizer_fingerprint;
  header.source_fingerprint = s.info.source_fingerprint;
  header.num_documents = s.offsets.size() - 1;
  header.num_tokens = s.offsets.back();
  header.name_bytes = s.names.size();

  const uint64_t zeros = 0;
  s.append(&zeros, token_format::padding_after(header.num_tokens * header.token_bytes));
  s.append(s.offsets.data(), s.offsets.size() * sizeof(uint64_t));
  s.append(s.name_offsets.data(), s.name_offsets.size() * sizeof(uint64_t));
  s.append(s.names.data(), s.names.size());
  s.flush();
  header.body_checksum = XXH64_digest(s.checksum);
  header.header_checksum = token_format::header_checksum(header);
  s.file.rewind();
  s.file.write(&header, sizeof(header));
  s.file.commit(s.path);
  sync_directory(parent_folder(s.path));
}

int64_t TokenFileWriter::num_documents() const {
  return static_cast<int64_t>(impl_->offsets.size()) - 1;
}
int64_t TokenFileWriter::num_tokens() const { return static_cast<int64_t>(impl_->offsets.back()); }

}  // namespace lococo
