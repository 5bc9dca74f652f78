#include "data/line_reader.h"

#include <zstd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "core/error.h"

namespace lococo {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;
// Archives made with `zstd --long=31` ask for a window of 2 GiB; the library refuses above 128 MiB
// by default.
constexpr int kMaxWindowLog = 31;

}  // namespace

struct LineReader::Impl {
  std::string path;
  uint64_t max_line_bytes = 0;
  std::FILE* file = nullptr;
  ZSTD_DCtx* zstd = nullptr;
  std::vector<char> compressed;  // only with zstd
  ZSTD_inBuffer input{nullptr, 0, 0};
  bool inside_frame = false;  // the zstd stream may not end here
  std::vector<char> text;
  size_t text_begin = 0;
  size_t text_end = 0;
  int64_t line_number = 0;
  uint64_t line_offset = 0;
  uint64_t next_offset = 0;

  ~Impl() {
    if (file != nullptr) std::fclose(file);
    ZSTD_freeDCtx(zstd);
  }

  size_t read_file(char* out, size_t size) {
    const size_t got = std::fread(out, 1, size, file);
    if (got == 0 && std::ferror(file) != 0) {
      throw UserError(path + ": cannot read: " + std::strerror(errno));
    }
    return got;
  }

  // Fills `text` anew; false at the end.
  bool refill() {
    text_begin = 0;
    text_end = 0;
    if (zstd == nullptr) {
      text_end = read_file(text.data(), text.size());
      return text_end > 0;
    }
    ZSTD_outBuffer output{text.data(), text.size(), 0};
    while (output.pos == 0) {
      const bool read_more = input.pos == input.size;
      if (read_more) {
        input = {compressed.data(), read_file(compressed.data(), compressed.size()), 0};
      }
      const bool at_end = input.size == 0;
      if (at_end && !inside_frame) return false;
      const size_t hint = ZSTD_decompressStream(zstd, &output, &input);
      if (ZSTD_isError(hint) != 0) {
        throw UserError(path + ": damaged zstd file: " + ZSTD_getErrorName(hint));
      }
      inside_frame = hint != 0;
      if (at_end && output.pos == 0 && inside_frame) {
        throw UserError(path + ": the zstd file is cut off; copy it again");
      }
    }
    text_end = output.pos;
    return true;
  }
};

LineReader::LineReader(const std::string& path, uint64_t max_line_bytes)
    : impl_(std::make_unique<Impl>()) {
  impl_->path = path;
  impl_->max_line_bytes = max_line_bytes;
  impl_->file = std::fopen(path.c_str(), "rb");
  if (impl_->file == nullptr) throw UserError(path + ": cannot open: " + std::strerror(errno));
  impl_->text.resize(kBufferBytes);
  if (path.ends_with(".zst")) {
    impl_->compressed.resize(kBufferBytes);
    impl_->zstd = ZSTD_createDCtx();
    ZSTD_DCtx_setParameter(impl_->zstd, ZSTD_d_windowLogMax, kMaxWindowLog);
  }
}

LineReader::~LineReader() = default;

bool LineReader::next(std::string* line) {
  Impl& s = *impl_;
  line->clear();
  bool found = false;
  bool any = false;
  while (!found) {
    if (s.text_begin == s.text_end && !s.refill()) break;
    any = true;
    const char* begin = s.text.data() + s.text_begin;
    const size_t available = s.text_end - s.text_begin;
    const void* newline = std::memchr(begin, '\n', available);
    found = newline != nullptr;
    const size_t length = found ? static_cast<const char*>(newline) - begin : available;
    if (line->size() + length > s.max_line_bytes) {
      throw UserError(s.path + ":" + std::to_string(s.line_number + 1) + ": line longer than " +
                      std::to_string(s.max_line_bytes) + " bytes; is this file really JSONL?");
    }
    line->append(begin, length);
    s.text_begin += length + (found ? 1 : 0);
  }
  if (!any) return false;
  ++s.line_number;
  s.line_offset = s.next_offset;
  s.next_offset += line->size() + (found ? 1 : 0);
  return true;
}

int64_t LineReader::line_number() const { return impl_->line_number; }
uint64_t LineReader::line_offset() const { return impl_->line_offset; }

}  // namespace lococo
