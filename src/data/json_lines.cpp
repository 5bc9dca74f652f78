#include "data/json_lines.h"

#include <new>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_file.h"
#include "data/line_reader.h"
#include "tokenizer/utf8_text.h"

namespace lococo {

namespace {

/// Hands the next object of the file over; false at its end.
bool hand_next_over(const std::string& path, const JsonCallback& callback, LineReader* reader) {
  for (std::string line; reader->next(&line);) {
    if (is_blank_text(line)) continue;
    const std::string place = path + ":" + std::to_string(reader->line_number());
    nlohmann::json object = parse_json_object(line, place, reader->line_offset());
    callback(object, place);
    return true;
  }
  return false;
}

}  // namespace

void for_each_json_line(const std::string& path, const JsonCallback& callback,
                        const ReadCallback& on_read) {
  LineReader reader(path);
  bool any = false;
  while (hand_next_over(path, callback, &reader)) {
    any = true;
    if (on_read) on_read(reader.bytes_read());
  }
  if (!any) fail_without_records(path);
}

void with_first_json_line(const std::string& path, const JsonCallback& callback) {
  LineReader reader(path);
  if (!hand_next_over(path, callback, &reader)) fail_without_records(path);
}

nlohmann::json parse_json_object(const std::string& text, const std::string& place,
                                 uint64_t offset) try {
  const size_t bad = find_invalid_utf8(text);
  if (bad != std::string::npos) fail_invalid_utf8(place, offset + bad);
  nlohmann::json object = parse_json_line(text, place);
  if (!object.is_object()) throw UserError(place + ": not a JSON object but " + object.type_name());
  return object;
} catch (const std::bad_alloc&) {
  throw UserError(place + ": not enough memory for this record");
}

void fail_without_records(const std::string& path) {
  throw UserError(path + ": holds no records; fill it or leave it out");
}

bool is_blank_text(const std::string& text) {
  return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

}  // namespace lococo
