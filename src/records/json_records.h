// Files of JSON objects, one at a time, however large the file is.
#pragma once

#include <string>

#include "data/json_lines.h"

namespace lococo {

/// Calls `callback` for each object of a file (also .zst) in order: of a JSON list, or of JSONL,
/// whatever the file is called; a byte order mark is passed over. `place` is FILE:LINE, where the
/// object begins. At most one object is held. Throws UserError, with file and line, for what is
/// neither, an object that is not JSON or not UTF-8, a list that is cut short, and a file without
/// objects; of .zst as TextFile does.
void for_each_json_record(const std::string& path, const JsonCallback& callback);

}  // namespace lococo
