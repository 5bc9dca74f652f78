// Appending to the files that a run keeps writing.
#pragma once

#include <string>
#include <string_view>

namespace lococo {

/// Appends the bytes and hands them to the system, so that they survive a crash of this process.
/// Creates the file. Throws UserError naming it.
void append_to_file(const std::string& path, std::string_view bytes);

}  // namespace lococo
