// Any bytes as a token file: it opens or throws UserError, and an opened one is read through.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "core/error.h"
#include "data/segments.h"
#include "data/token_file.h"
#include "data/token_format.h"

namespace {

using lococo::TokenFile;
using lococo::token_format::Header;

void read_through(const std::byte* bytes, size_t size) {
  try {
    const auto opened = std::make_shared<const TokenFile>(bytes, size, "fuzz");
    const TokenFile& file = *opened;
    int64_t covered = 0;
    for (int64_t i = 0; i < file.num_documents(); ++i) {
      if (file.document_begin(i) != covered || file.document_length(i) < 0) std::abort();
      covered = file.document_end(i);
      try {
        file.document_name(i);
      } catch (const lococo::UserError&) {  // a damaged name does not spoil the tokens
      }
    }
    if (covered != file.num_tokens()) std::abort();
    lococo::make_segments({opened}, 4, 3, 0, 1 << 20);
    std::vector<int64_t> ids(static_cast<size_t>(file.num_tokens()));
    file.copy(0, file.num_tokens(), ids.data());
    for (const int64_t id : ids) {
      if (id < 0 || id >= file.vocab_size()) std::abort();
    }
    file.verify_checksum();
  } catch (const lococo::UserError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  read_through(bytes, size);
  // Again as a file whose header is whole by its checksum, so that what lies behind is reached.
  if (size < sizeof(Header)) return 0;
  std::vector<std::byte> mended(bytes, bytes + size);
  Header header;
  std::memcpy(&header, mended.data(), sizeof(header));
  std::memcpy(header.magic, lococo::token_format::kMagic, sizeof(header.magic));
  header.version = lococo::token_format::kVersion;
  header.header_checksum = lococo::token_format::header_checksum(header);
  std::memcpy(mended.data(), &header, sizeof(header));
  read_through(mended.data(), mended.size());
  return 0;
}
