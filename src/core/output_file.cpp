#include "core/output_file.h"

#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "core/error.h"
#include "core/files.h"

namespace lococo {
namespace {

namespace fs = std::filesystem;

/// Where AtomicFile writes before it renames.
/// Of the name itself, not of what a symlink points to. Throws for names that no file can have.
fs::file_type type_of(const std::string& path, const std::string& place) {
  std::error_code error;
  const fs::file_type type = fs::symlink_status(path, error).type();
  if (type == fs::file_type::none) {
    throw UserError(place + "cannot be written: " + error.message() + "; choose another name");
  }
  return type;
}

void check_folder(const std::string& path, const std::string& place) {
  const std::string folder = parent_folder(path);
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    throw UserError(place + "there is no folder " + folder + "; create it first");
  }
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    throw UserError(place + "the folder " + folder +
                    " is not writable; choose one that you may write to");
  }
}

/// What is neither a file nor a symlink nor absent: no flag lets a result replace it.
void check_kind(fs::file_type type, const std::string& place) {
  if (type == fs::file_type::not_found || type == fs::file_type::regular ||
      type == fs::file_type::symlink) {
    return;
  }
  const std::string what = type == fs::file_type::directory ? "a folder" : "not a regular file";
  throw UserError(place + "is " + what + "; name a file");
}

}  // namespace

std::string temporary_name(const std::string& path) { return path + ".tmp"; }

bool is_own_result(const std::string& path) {
  constexpr uint64_t kLargestResult = uint64_t{1} << 30;
  InputFile file(path);
  char first = '{';
  if (file.size() > kLargestResult || file.read(&first, 1) > 1 || first != '{') return false;
  const std::string text = read_text_file(path);
  return text.empty() || (text[0] == '{' && text.find("\"git_revision\"") != std::string::npos);
}

void check_output_file(const std::string& path, const std::string& key, bool overwrite) {
  if (path.empty()) return;
  const std::string place = key + ": " + path + ": ";
  const fs::file_type type = type_of(path, place);
  check_folder(path, place);
  check_kind(type, place);
  const std::string temporary = temporary_name(path);
  const fs::file_type beside = type_of(temporary, key + ": " + temporary + ": ");
  if (beside != fs::file_type::not_found && beside != fs::file_type::regular) {
    throw UserError(key + ": " + temporary +
                    ": is in the way of the file that is written first; remove it");
  }
  if (overwrite || type == fs::file_type::not_found) return;
  const std::string remedy =
      "; choose another name, or set " + key.substr(0, key.find('.')) + ".overwrite=true";
  if (type == fs::file_type::symlink) throw UserError(place + "is a symlink" + remedy);
  if (!is_own_result(path)) {
    throw UserError(place + "exists and holds no results of ours" + remedy);
  }
}

}  // namespace lococo
