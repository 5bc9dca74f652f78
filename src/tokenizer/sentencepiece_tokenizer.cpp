#include "tokenizer/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>
#include <xxhash.h>

#include <stdexcept>

#include "core/error.h"
#include "core/files.h"
#include "core/lfs_pointer.h"

namespace lococo {

struct SentencePieceTokenizer::Impl {
  sentencepiece::SentencePieceProcessor processor;
  uint64_t fingerprint = 0;
};

SentencePieceTokenizer::SentencePieceTokenizer(const std::string& path)
    : impl_(std::make_unique<Impl>()) {
  const std::string bytes = read_text_file(path);
  refuse_lfs_pointer(bytes, path);
  // An empty protobuf parses, and the library would use a model without pieces.
  if (bytes.empty() || !impl_->processor.LoadFromSerializedProto(bytes).ok() ||
      impl_->processor.GetPieceSize() <= 0) {
    throw UserError(path + ": is not a SentencePiece model; " + kWithoutTokenizer);
  }
  impl_->fingerprint = XXH64(bytes.data(), bytes.size(), 0);
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

std::vector<int32_t> SentencePieceTokenizer::encode(const std::string& text) const {
  std::vector<int> ids;
  const auto status = impl_->processor.Encode(text, &ids);
  if (!status.ok()) throw std::runtime_error("SentencePiece: " + status.ToString());
  return {ids.begin(), ids.end()};
}

std::vector<int32_t> SentencePieceTokenizer::encode_ordinary(const std::string& text) const {
  return encode(text);
}

std::string SentencePieceTokenizer::decode(const std::vector<int32_t>& ids) const {
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab_size()) throw UserError(foreign_id_message(id, vocab_size()));
  }
  std::string text;
  const auto status = impl_->processor.Decode(std::vector<int>(ids.begin(), ids.end()), &text);
  if (!status.ok()) throw std::runtime_error("SentencePiece: " + status.ToString());
  return text;
}

int64_t SentencePieceTokenizer::vocab_size() const { return impl_->processor.GetPieceSize(); }
int32_t SentencePieceTokenizer::bos_id() const { return impl_->processor.bos_id(); }
int32_t SentencePieceTokenizer::eos_id() const { return impl_->processor.eos_id(); }
uint64_t SentencePieceTokenizer::fingerprint() const { return impl_->fingerprint; }

std::optional<int32_t> SentencePieceTokenizer::special_id(const std::string& text) const {
  const int id = impl_->processor.PieceToId(text);
  if (!impl_->processor.IsControl(id) || impl_->processor.IdToPiece(id) != text) return {};
  return id;
}

}  // namespace lococo
