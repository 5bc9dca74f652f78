#include "data/token_file.h"

#include <xxhash.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "core/error.h"
#include "core/files.h"
#include "core/hash.h"
#include "core/mapped_file.h"
#include "data/token_format.h"

namespace lococo {
namespace {

using token_format::Header;

constexpr const char* kRemedy = "; delete it and run lococo-prepare again";
// Raw tokens do not say their vocabulary; ids must at least fit in int32.
constexpr uint64_t kRawLimit = uint64_t{1} << 31;

}  // namespace

struct TokenFile::Impl {
  std::string path;
  std::unique_ptr<MappedFile> mapping;           // null when the bytes are the caller's
  mutable std::atomic<int64_t> modified_ns = 0;  // of the mapped file, when it was last whole
  const std::byte* bytes = nullptr;
  uint64_t size = 0;
  Header header{};  // of raw tokens: made up
  bool raw = false;
  uint64_t limit = 0;  // every id is below it
  const std::byte* tokens = nullptr;
  const std::byte* offsets = nullptr;  // null for raw tokens
  const std::byte* name_offsets = nullptr;
  const std::byte* names = nullptr;

  [[noreturn]] void damaged(const std::string& what) const {
    throw UserError(path + ": damaged token file: " + what + kRemedy);
  }

  void check_header() const;
  void locate_parts();
  void check_offsets() const;
  void open_raw(RawTokenType type);
  template <typename T>
  void copy_ids(int64_t begin, int64_t count, uint64_t below, int64_t* out) const;
  void check_ids(uint64_t below) const;
  uint64_t body_checksum() const { return XXH64(bytes + sizeof(Header), size - sizeof(Header), 0); }
  void check_unchanged() const;

  // The file may lie at any address in memory, so numbers are copied out.
  uint64_t number(const std::byte* table, uint64_t i) const {
    uint64_t value = 0;
    std::memcpy(&value, table + i * sizeof(value), sizeof(value));
    return value;
  }
};

void TokenFile::Impl::check_header() const {
  if (size < sizeof(Header) ||
      std::memcmp(header.magic, token_format::kMagic, sizeof(header.magic)) != 0) {
    throw UserError(path + ": is not a token file of lococo-prepare (no magic 'LOCOTOK1')");
  }
  if (header.version != token_format::kVersion) {
    throw UserError(path + ": token file of version " + std::to_string(header.version) +
                    ", this program reads version " + std::to_string(token_format::kVersion) +
                    kRemedy);
  }
  if (header.header_checksum != token_format::header_checksum(header)) {
    damaged("the header's checksum is wrong");
  }
  if (header.token_bytes != 2 && header.token_bytes != 4) damaged("unknown token type");
  const uint64_t largest =
      header.token_bytes == 2 ? uint64_t{token_format::kMaxVocab16} : kRawLimit;
  if (header.vocab_size == 0 || header.vocab_size > largest) damaged("impossible vocabulary size");
}

// Sets the four parts; each length is compared with what is left, so that no sum can overflow.
void TokenFile::Impl::locate_parts() {
  uint64_t left = size - sizeof(Header);
  const std::byte* at = bytes + sizeof(Header);
  const auto take = [&](uint64_t count, uint64_t each) {
    if (count > left / each) {
      damaged("it is cut off (" + std::to_string(size) + " bytes, the header asks for more)");
    }
    const std::byte* part = at;
    at += count * each;
    left -= count * each;
    return part;
  };
  tokens = take(header.num_tokens, header.token_bytes);
  take(token_format::padding_after(header.num_tokens * header.token_bytes), 1);
  if (header.num_documents >= std::numeric_limits<uint64_t>::max() / 8) {
    damaged("impossible number of documents");
  }
  offsets = take(header.num_documents + 1, sizeof(uint64_t));
  name_offsets = take(header.num_documents + 1, sizeof(uint64_t));
  names = take(header.name_bytes, 1);
  if (left != 0) damaged(std::to_string(left) + " bytes follow its end");
}

void TokenFile::Impl::check_offsets() const {
  uint64_t previous = 0;
  for (uint64_t i = 0; i <= header.num_documents; ++i) {
    const uint64_t offset = number(offsets, i);
    if ((i == 0 && offset != 0) || offset < previous || offset > header.num_tokens) {
      damaged("offset of document " + std::to_string(i) + " is wrong");
    }
    previous = offset;
  }
  if (previous != header.num_tokens) damaged("the last document ends before the last token");
}

void TokenFile::Impl::open_raw(RawTokenType type) {
  raw = true;
  header.token_bytes = type == RawTokenType::kUint16 ? 2 : 4;
  if (size == 0) throw UserError(path + ": the file is empty");
  if (size % header.token_bytes != 0) {
    throw UserError(path + ": " + std::to_string(size) +
                    " bytes are no whole number of tokens of " +
                    std::to_string(header.token_bytes) + " bytes; check data.raw_dtype");
  }
  header.num_documents = 1;
  header.num_tokens = size / header.token_bytes;
  tokens = bytes;
  limit = kRawLimit;
}

template <typename T>
void TokenFile::Impl::copy_ids(int64_t begin, int64_t count, uint64_t below, int64_t* out) const {
  const std::byte* from = tokens + static_cast<uint64_t>(begin) * sizeof(T);
  uint64_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    T id = 0;
    std::memcpy(&id, from + static_cast<uint64_t>(i) * sizeof(T), sizeof(T));
    largest = std::max<uint64_t>(largest, id);
    out[i] = static_cast<int64_t>(id);
  }
  if (largest < below) return;
  const auto* bad = std::find_if(out, out + count,
                                 [&](int64_t id) { return static_cast<uint64_t>(id) >= below; });
  const char* remedy = raw ? "; is data.raw_dtype right, and the tokenizer the model's?"
                       : below < header.vocab_size ? "; is data.tokenizer the model's own?"
                                                   : kRemedy;
  throw UserError(path + ": token " + std::to_string(begin + (bad - out)) + " is id " +
                  std::to_string(*bad) + ", beyond the vocabulary of " + std::to_string(below) +
                  remedy);
}

void TokenFile::Impl::check_ids(uint64_t below) const {
  constexpr int64_t kChunk = 1 << 16;
  std::vector<int64_t> chunk(kChunk);
  const auto total = static_cast<int64_t>(header.num_tokens);
  for (int64_t begin = 0; begin < total; begin += kChunk) {
    const int64_t count = std::min(kChunk, total - begin);
    if (header.token_bytes == 2) {
      copy_ids<uint16_t>(begin, count, below, chunk.data());
    } else {
      copy_ids<uint32_t>(begin, count, below, chunk.data());
    }
  }
}

/// A file whose time of change is another one is read through again; raw tokens have no checksum.
void TokenFile::Impl::check_unchanged() const {
  if (mapping == nullptr) return;
  const int64_t now = mapping->modified_ns();
  if (now == modified_ns.load()) return;
  const bool same = !raw && std::memcmp(bytes, &header, sizeof(header)) == 0 &&
                    body_checksum() == header.body_checksum;
  if (!same) {
    throw UserError(path + ": the file changed while it was in use; run the command again");
  }
  modified_ns = now;
}

TokenFile::TokenFile(const std::string& path, RawTokenType raw_dtype)
    : impl_(std::make_unique<Impl>()) {
  Impl& s = *impl_;
  s.path = path;
  s.mapping = std::make_unique<MappedFile>(path);
  s.modified_ns = s.mapping->modified_ns();
  s.bytes = s.mapping->data();
  s.size = s.mapping->size();
  const bool ours = s.size >= sizeof(token_format::kMagic) &&
                    std::memcmp(s.bytes, token_format::kMagic, sizeof(token_format::kMagic)) == 0;
  if (!ours && raw_dtype != RawTokenType::kNone) {
    s.open_raw(raw_dtype);
    return;
  }
  if (!ours && path.ends_with(".bin")) {
    throw UserError(path + ": raw tokens need data.raw_dtype: uint16 or uint32");
  }
  parse();
}

TokenFile::TokenFile(const std::byte* bytes, size_t num_bytes, const std::string& name)
    : impl_(std::make_unique<Impl>()) {
  impl_->path = name;
  impl_->bytes = bytes;
  impl_->size = num_bytes;
  parse();
}

void TokenFile::parse() {
  Impl& s = *impl_;
  if (s.size >= sizeof(Header)) std::memcpy(&s.header, s.bytes, sizeof(Header));
  s.check_header();
  s.locate_parts();
  s.check_offsets();
  s.limit = s.header.vocab_size;
}

TokenFile::~TokenFile() = default;
TokenFile::TokenFile(TokenFile&&) noexcept = default;
TokenFile& TokenFile::operator=(TokenFile&&) noexcept = default;

bool TokenFile::has_magic(const std::string& path) {
  char magic[sizeof(token_format::kMagic)] = {};
  return InputFile(path).read(magic, sizeof(magic)) == sizeof(magic) &&
         std::memcmp(magic, token_format::kMagic, sizeof(magic)) == 0;
}

const std::string& TokenFile::path() const { return impl_->path; }
int64_t TokenFile::num_tokens() const { return static_cast<int64_t>(impl_->header.num_tokens); }
int64_t TokenFile::num_documents() const {
  return static_cast<int64_t>(impl_->header.num_documents);
}

int64_t TokenFile::document_begin(int64_t document) const {
  if (document < 0 || document >= num_documents()) throw std::out_of_range("document");
  if (impl_->raw) return 0;
  return static_cast<int64_t>(impl_->number(impl_->offsets, static_cast<uint64_t>(document)));
}

int64_t TokenFile::document_end(int64_t document) const {
  if (document < 0 || document >= num_documents()) throw std::out_of_range("document");
  if (impl_->raw) return num_tokens();
  return static_cast<int64_t>(impl_->number(impl_->offsets, static_cast<uint64_t>(document) + 1));
}

std::string TokenFile::document_name(int64_t document) const {
  if (document < 0 || document >= num_documents()) throw std::out_of_range("document");
  if (impl_->raw) return path();
  const auto i = static_cast<uint64_t>(document);
  const uint64_t begin = impl_->number(impl_->name_offsets, i);
  const uint64_t end = impl_->number(impl_->name_offsets, i + 1);
  if (begin > end || end > impl_->header.name_bytes) {
    impl_->damaged("name of document " + std::to_string(document) + " is out of bounds");
  }
  return {reinterpret_cast<const char*>(impl_->names + begin), end - begin};
}

int64_t TokenFile::vocab_size() const { return static_cast<int64_t>(impl_->header.vocab_size); }
uint64_t TokenFile::tokenizer_fingerprint() const { return impl_->header.tokenizer_fingerprint; }
uint64_t TokenFile::source_fingerprint() const { return impl_->header.source_fingerprint; }
bool TokenFile::is_raw() const { return impl_->raw; }
uint64_t TokenFile::content_fingerprint() const {
  return impl_->raw ? XXH3_64bits(impl_->bytes, impl_->size) : impl_->header.body_checksum;
}

int32_t TokenFile::token(int64_t index) const {
  int64_t id = 0;
  copy(index, 1, &id);
  return static_cast<int32_t>(id);
}

void TokenFile::copy(int64_t begin, int64_t count, int64_t* out) const {
  impl_->check_unchanged();
  if (begin < 0 || count < 0 || begin > num_tokens() || count > num_tokens() - begin) {
    throw std::out_of_range("tokens");
  }
  if (impl_->header.token_bytes == 2) {
    impl_->copy_ids<uint16_t>(begin, count, impl_->limit, out);
  } else {
    impl_->copy_ids<uint32_t>(begin, count, impl_->limit, out);
  }
}

void TokenFile::verify_checksum() const {
  if (impl_->raw) return;
  const uint64_t found = impl_->body_checksum();
  if (found != impl_->header.body_checksum) {
    impl_->damaged("checksum " + hex_text(found) + " instead of " +
                   hex_text(impl_->header.body_checksum));
  }
}

void TokenFile::check_token_range(int64_t vocab_size) const {
  if (impl_->raw || vocab_size < this->vocab_size()) {
    impl_->check_ids(static_cast<uint64_t>(vocab_size));
  }
}

}  // namespace lococo
