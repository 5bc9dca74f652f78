#include "data/line_reader.h"

#include <zstd.h>
#include <zstd_errors.h>

#include <cstring>
#include <new>
#include <vector>

#include "core/error.h"
#include "core/files.h"

namespace lococo {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
// Public archives made with `zstd --long=31` ask for a window of 2 GiB; the library refuses above
// 128 MiB by default. A frame that asks for more is refused before anything is allocated.
constexpr int kMaxWindowLog = 31;

}  // namespace

struct LineReader::Impl {
  Impl(const std::string& path, uint64_t most) : file(path), max_line_bytes(most) {}

  InputFile file;
  uint64_t max_line_bytes;
  uint64_t bytes_read = 0;
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> zstd{nullptr, &ZSTD_freeDCtx};
  std::vector<char> compressed;  // only with zstd
  ZSTD_inBuffer input{nullptr, 0, 0};
  bool inside_frame = false;  // the zstd stream may not end here
  std::vector<char> text;
  size_t text_begin = 0;
  size_t text_end = 0;
  int64_t line_number = 0;
  uint64_t line_offset = 0;
  uint64_t next_offset = 0;

  const std::string& path() const { return file.path(); }
  std::string place() const { return path() + ":" + std::to_string(line_number + 1); }

  size_t read_file(std::vector<char>* out) {
    const size_t got = file.read(out->data(), out->size());
    bytes_read += got;
    return got;
  }

  [[noreturn]] void fail_to_decompress(size_t code) const {
    if (ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation) throw std::bad_alloc();
    throw UserError(path() + ": damaged zstd file: " + ZSTD_getErrorName(code));
  }

  // Fills `text` anew; false at the end.
  bool refill() {
    text_begin = 0;
    text_end = 0;
    if (zstd == nullptr) {
      text_end = read_file(&text);
      return text_end > 0;
    }
    ZSTD_outBuffer output{text.data(), text.size(), 0};
    while (output.pos == 0) {
      const bool read_more = input.pos == input.size;
      if (read_more) {
        input = {compressed.data(), read_file(&compressed), 0};
      }
      const bool at_end = input.size == 0;
      if (at_end && !inside_frame) return false;
      const size_t hint = ZSTD_decompressStream(zstd.get(), &output, &input);
      if (ZSTD_isError(hint) != 0) fail_to_decompress(hint);
      inside_frame = hint != 0;
      if (at_end && output.pos == 0 && inside_frame) {
        throw UserError(path() + ": the zstd file is cut off; copy it again");
      }
    }
    text_end = output.pos;
    return true;
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
    : impl_(std::make_unique<Impl>(path, max_line_bytes)) {
  impl_->text.resize(kBufferBytes);
  if (path.ends_with(".zst")) {
    impl_->compressed.resize(kBufferBytes);
    impl_->zstd.reset(ZSTD_createDCtx());
    if (!impl_->zstd) throw std::bad_alloc();
    ZSTD_DCtx_setParameter(impl_->zstd.get(), ZSTD_d_windowLogMax, kMaxWindowLog);
  }
}

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
uint64_t LineReader::bytes_read() const { return impl_->bytes_read; }

}  // namespace lococo
