// Files that hold a tool's results: what they may replace.
#pragma once

#include <string>

namespace lococo {

/// Throws UserError, naming `key`, when results cannot or must not be written to `path`: its folder
/// is not there or not writable; it is a folder, device, FIFO or socket; or, unless `overwrite`, it
/// is a symlink or a file that is neither empty nor JSON results of ours (which hold
/// "git_revision"). Called before any work, it destroys nothing. An empty path is fine: nothing is
/// written.
void check_output_file(const std::string& path, const std::string& key, bool overwrite);

/// Whether the file holds JSON results of ours, or nothing at all.
bool is_own_result(const std::string& path);

}  // namespace lococo
