// Small file helpers whose errors are the user's to mend.
#pragma once

#include <string>

namespace lococo {

/// The whole file. Throws UserError naming the file.
std::string read_text_file(const std::string& path);

/// Writes to `path`.tmp, syncs and renames, so that `path` is the old or the whole new content.
/// Throws UserError (full disk, no permission).
void write_text_file(const std::string& path, const std::string& content);

/// Syncs a folder's entries to disk, so that a rename inside it survives a power cut.
void sync_directory(const std::string& path);

/// Creates the folder and its parents. Throws UserError when that fails.
void make_directories(const std::string& path);

}  // namespace lococo
