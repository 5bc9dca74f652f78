// JSON objects of a file, a line each: the one loop over JSONL, and what it refuses.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace lococo {

/// `place` is FILE:LINE. The object is the callback's to take from.
using JsonCallback = std::function<void(nlohmann::json& object, const std::string& place)>;

/// Told after each object how many bytes of its file, as it lies on the disk, have been read.
using ReadCallback = std::function<void(uint64_t bytes)>;

/// Calls `callback` for each line of a .jsonl or .jsonl.zst file in order; blank lines are passed
/// over. At most one line is held. Throws UserError as LineReader and parse_json_object do, and for
/// a file without objects.
void for_each_json_line(const std::string& path, const JsonCallback& callback,
                        const ReadCallback& on_read = {});

/// The same for the first line that is not blank alone.
void with_first_json_line(const std::string& path, const JsonCallback& callback);

/// The object of a line, or of a few, that begins at byte `offset` of the file's text. Throws
/// UserError, with `place`, for what is not UTF-8, not JSON or not an object, and for one that does
/// not fit into memory.
nlohmann::json parse_json_object(const std::string& text, const std::string& place,
                                 uint64_t offset);

[[noreturn]] void fail_without_records(const std::string& path);

/// Whether there is nothing but what JSON takes for blanks.
bool is_blank_text(const std::string& text);

}  // namespace lococo
