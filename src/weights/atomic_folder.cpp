#include "weights/atomic_folder.h"

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <system_error>
#include <vector>

#include "core/error.h"
#include "core/files.h"

namespace lococo {
namespace {

namespace fs = std::filesystem;

std::string hidden_sibling(const std::string& path, const std::string& prefix) {
  return (fs::path(parent_folder(path)) / (prefix + fs::path(path).filename().string())).string();
}

void remove_folder(const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  if (error) throw UserError(path + ": cannot remove the folder: " + error.message());
}

void rename_folder(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) throw UserError(to + ": cannot give the folder its name: " + error.message());
}

/// Removes hidden folders for this name that no process has locked.
void remove_abandoned(const std::string& final_path) {
  const std::string start = fs::path(hidden_sibling(final_path, ".tmp-")).filename().string();
  std::error_code error;
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(parent_folder(final_path), error)) {
    const std::string name = entry.path().filename().string();
    if (name == start || name.starts_with(start + ".")) found.push_back(entry.path().string());
  }
  for (const std::string& folder : found) {
    const FileLock lock = lock_folder(folder, LockWait::kNo);  // until the folder is gone
    if (lock.held()) remove_folder(folder);
  }
}

}  // namespace

std::string folder_name(std::string path) {
  while (path.size() > 1 && (path.ends_with("/") || path.ends_with("/.")))
    path.erase(path.find_last_of('/') == 0 ? 1 : path.find_last_of('/'));
  return path;
}

AtomicFolder::AtomicFolder(const std::string& final_path, ExistingFolder existing)
    : final_(folder_name(final_path)), existing_(existing) {
  make_directories(parent_folder(final_));
  remove_abandoned(final_);
  make_temporary();
}

void AtomicFolder::make_temporary() {
  static std::atomic<int> count = 0;
  std::error_code error;
  // A name is taken where processes of two hosts with one number write to a shared disk, or where
  // another process took the new folder for an abandoned one before it was locked.
  for (int attempt = 0; attempt < 100; ++attempt) {
    const std::string own = "." + std::to_string(::getpid()) + "-" + std::to_string(count++);
    temporary_ = hidden_sibling(final_, ".tmp-") + own;
    if (!fs::create_directory(temporary_, error)) {
      if (error) break;
      continue;
    }
    lock_ = lock_folder(temporary_, LockWait::kYes);
    if (lock_.held() || fs::exists(temporary_, error)) return;  // or there are no locks
  }
  throw UserError(temporary_ +
                  ": cannot create the folder: " + (error ? error.message() : "its name is taken") +
                  "; choose a folder that you may write to");
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;  // a destructor has no one to tell
  if (!committed_) fs::remove_all(temporary_, ignored);
}

void AtomicFolder::commit() {
  sync_directory(temporary_);
  const std::string replaced = hidden_sibling(final_, ".old-");
  const bool exists = path_exists(final_);
  if (exists && existing_ == ExistingFolder::kRefuse) {
    throw UserError(final_ + ": exists by now, another process made it; choose a new folder");
  }
  if (exists) {
    remove_folder(replaced);
    rename_folder(final_, replaced);
  }
  rename_folder(temporary_, final_);
  committed_ = true;
  sync_directory(parent_folder(final_));
  if (exists) remove_folder(replaced);
}

void require_free_space(const std::string& folder, int64_t num_bytes, const std::string& what) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error || space.available >= static_cast<std::uintmax_t>(num_bytes)) return;
  constexpr int64_t kMegabyte = 1000000;
  throw UserError(folder + ": " + what + " needs " + std::to_string(num_bytes / kMegabyte + 1) +
                  " MB and only " + std::to_string(space.available / kMegabyte) +
                  " MB are free; nothing was written: free some space or choose another folder");
}

}  // namespace lococo
