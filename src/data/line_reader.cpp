#include "data/line_reader.h"

#include <cstring>
#include <new>
#include <vector>

#include "core/error.h"
#include "data/text_file.h"

namespace lococo {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

}  // namespace

struct LineReader::Impl {
  Impl(const std::string& path, uint64_t most)
      : file(path), max_line_bytes(most), text(kBufferBytes) {}

  TextFile file;
  uint64_t max_line_bytes;
  std::vector<char> text;
  size_t text_begin = 0;
  size_t text_end = 0;
  int64_t line_number = 0;
  uint64_t line_offset = 0;
  uint64_t next_offset = 0;

  std::string place() const { return file.path() + ":" + std::to_string(line_number + 1); }

  // Fills `text` anew; false at the end.
  bool refill() {
    text_begin = 0;
    text_end = file.read(text.data(), text.size());
    return text_end > 0;
  }

  bool next(std::string* line);
};

bool LineReader::Impl::next(std::string* line) {
  line->clear();
  bool found = false;
  bool any = false;
  while (!found) {
    if (text_begin == text_end && !refill()) break;
    any = true;
    const char* begin = text.data() + text_begin;
    const size_t available = text_end - text_begin;
    const void* newline = std::memchr(begin, '\n', available);
    found = newline != nullptr;
    const size_t length = found ? static_cast<const char*>(newline) - begin : available;
    if (line->size() + length > max_line_bytes) {
      throw UserError(place() + ": the line is longer than " + std::to_string(max_line_bytes) +
                      " bytes; is this file really JSONL?");
    }
    line->append(begin, length);
    text_begin += length + (found ? 1 : 0);
  }
  if (!any) return false;
  ++line_number;
  line_offset = next_offset;
  next_offset += line->size() + (found ? 1 : 0);
  return true;
}

LineReader::LineReader(const std::string& path, uint64_t max_line_bytes)
    : impl_(std::make_unique<Impl>(path, max_line_bytes)) {}

LineReader::~LineReader() = default;

bool LineReader::next(std::string* line) {
  try {
    return impl_->next(line);
  } catch (const std::bad_alloc&) {
    throw UserError(impl_->place() + ": not enough memory for this line");
  }
}

int64_t LineReader::line_number() const { return impl_->line_number; }
uint64_t LineReader::line_offset() const { return impl_->line_offset; }
uint64_t LineReader::bytes_read() const { return impl_->file.bytes_read(); }

}  // namespace lococo
