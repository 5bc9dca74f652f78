// The one way in for JSON: whatever a file holds becomes a value or one line that names the place.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace lococo {

/// Parses one JSON value; `name` stands for the file in messages. Throws UserError, and nothing
/// else, for text that is not JSON, a number out of range, a key that occurs twice in one object,
/// and more than 100 levels of lists and objects, of which none is built: a value that deep could
/// not even be destroyed without running out of stack.
nlohmann::json parse_json(std::string_view text, const std::string& name);

/// The same for a line of JSONL, whose value may be one that goes on in the next line.
nlohmann::json parse_json_line(std::string_view line, const std::string& place);

/// The same for a file, of at most 100 MB. Throws UserError as read_text_file does.
nlohmann::json read_json_file(const std::string& path);

/// read_json_file for files whose value must be an object.
nlohmann::json read_json_object(const std::string& path);

/// A name of a file in quotes, for a message: it may be as long as its file, 120 bytes are shown.
std::string quoted_name(const std::string& name);

}  // namespace lococo
