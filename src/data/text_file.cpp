#include "data/text_file.h"

#include <zstd.h>
#include <zstd_errors.h>

#include <new>
#include <vector>

#include "core/error.h"
#include "core/files.h"

namespace lococo {
namespace {

constexpr size_t kCompressedBytes = size_t{1} << 20;
// Public archives made with `zstd --long=31` ask for a window of 2 GiB; the library refuses above
// 128 MiB by default. A frame that asks for more is refused before anything is allocated.
constexpr int kMaxWindowLog = 31;

}  // namespace

struct TextFile::Impl {
  explicit Impl(const std::string& path) : file(path) {
    if (!path.ends_with(".zst")) return;
    compressed.resize(kCompressedBytes);
    zstd.reset(ZSTD_createDCtx());
    if (!zstd) throw std::bad_alloc();
    ZSTD_DCtx_setParameter(zstd.get(), ZSTD_d_windowLogMax, kMaxWindowLog);
  }

  InputFile file;
  uint64_t bytes_read = 0;
  std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> zstd{nullptr, &ZSTD_freeDCtx};
  std::vector<char> compressed;  // only with zstd
  ZSTD_inBuffer input{nullptr, 0, 0};
  bool inside_frame = false;  // the zstd stream may not end here

  size_t read_file(char* out, size_t num_bytes) {
    const size_t got = file.read(out, num_bytes);
    bytes_read += got;
    return got;
  }

  [[noreturn]] void fail_to_decompress(size_t code) const {
    if (ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation) throw std::bad_alloc();
    throw UserError(file.path() + ": damaged zstd file: " + ZSTD_getErrorName(code));
  }

  size_t decompress(char* out, size_t num_bytes) {
    ZSTD_outBuffer output{out, num_bytes, 0};
    while (output.pos == 0) {
      const bool read_more = input.pos == input.size;
      if (read_more) {
        input = {compressed.data(), read_file(compressed.data(), compressed.size()), 0};
      }
      const bool at_end = input.size == 0;
      if (at_end && !inside_frame) return 0;
      const size_t hint = ZSTD_decompressStream(zstd.get(), &output, &input);
      if (ZSTD_isError(hint) != 0) fail_to_decompress(hint);
      inside_frame = hint != 0;
      if (at_end && output.pos == 0 && inside_frame) {
        throw UserError(file.path() + ": the zstd file is cut off; copy it again");
      }
    }
    return output.pos;
  }
};

TextFile::TextFile(const std::string& path) : impl_(std::make_unique<Impl>(path)) {}

TextFile::~TextFile() = default;

size_t TextFile::read(char* out, size_t num_bytes) {
  return impl_->zstd ? impl_->decompress(out, num_bytes) : impl_->read_file(out, num_bytes);
}

const std::string& TextFile::path() const { return impl_->file.path(); }
uint64_t TextFile::bytes_read() const { return impl_->bytes_read; }

}  // namespace lococo
