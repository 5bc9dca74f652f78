#include "weights/atomic_folder.h"

#include <filesystem>
#include <system_error>

#include "core/error.h"
#include "core/files.h"

namespace lococo {
namespace {

namespace fs = std::filesystem;

std::string parent_of(const std::string& path) {
  const std::string parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

std::string hidden_sibling(const std::string& path, const std::string& prefix) {
  return (fs::path(parent_of(path)) / (prefix + fs::path(path).filename().string())).string();
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

}  // namespace

AtomicFolder::AtomicFolder(const std::string& final_path)
    : final_(final_path), temporary_(hidden_sibling(final_path, ".tmp-")) {
  make_directories(parent_of(final_));
  remove_folder(temporary_);
  make_directories(temporary_);
}

AtomicFolder::~AtomicFolder() {
  std::error_code ignored;  // a destructor has no one to tell
  if (!committed_) fs::remove_all(temporary_, ignored);
}

void AtomicFolder::commit() {
  sync_directory(temporary_);
  const std::string replaced = hidden_sibling(final_, ".old-");
  const bool replaces = fs::exists(final_);
  if (replaces) {
    remove_folder(replaced);
    rename_folder(final_, replaced);
  }
  rename_folder(temporary_, final_);
  committed_ = true;
  sync_directory(parent_of(final_));
  if (replaces) remove_folder(replaced);
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
