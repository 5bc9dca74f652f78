#include "data/tokenizer.h"

#include <sentencepiece_processor.h>
#include <xxhash.h>

#include "core/error.h"
#include "core/files.h"
#include "core/log.h"

namespace lococo {

struct Tokenizer::Impl {
  sentencepiece::SentencePieceProcessor processor;
  uint64_t fingerprint = 0;
};

Tokenizer::Tokenizer(const std::string& model_path) : impl_(std::make_unique<Impl>()) {
  if (is_folder(model_path)) {
    throw UserError(model_path +
                    ": is a folder; data.tokenizer names a file: " + kWithoutTokenizer);
  }
  if (!path_exists(model_path)) {
    throw UserError(model_path +
                    ": no such tokenizer; set data.tokenizer to a SentencePiece model file");
  }
  const std::string bytes = read_text_file(model_path);
  // An empty protobuf parses, and the library would use a model without pieces.
  if (bytes.empty() || !impl_->processor.LoadFromSerializedProto(bytes).ok() ||
      impl_->processor.GetPieceSize() <= 0) {
    throw UserError(model_path + ": is not a SentencePiece model; " + kWithoutTokenizer);
  }
  impl_->fingerprint = XXH64(bytes.data(), bytes.size(), 0);
}

Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

std::vector<int32_t> Tokenizer::encode(const std::string& text) const {
  std::vector<int> ids;
  const auto status = impl_->processor.Encode(text, &ids);
  if (!status.ok()) throw std::runtime_error("SentencePiece: " + status.ToString());
  return {ids.begin(), ids.end()};
}

std::string Tokenizer::decode(const std::vector<int32_t>& ids) const {
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab_size()) {
      throw UserError("token id " + std::to_string(id) +
                      " is outside the tokenizer's vocabulary of " + std::to_string(vocab_size()) +
                      "; is data.tokenizer the model's own?");
    }
  }
  std::string text;
  const auto status = impl_->processor.Decode(std::vector<int>(ids.begin(), ids.end()), &text);
  if (!status.ok()) throw std::runtime_error("SentencePiece: " + status.ToString());
  return text;
}

int64_t Tokenizer::vocab_size() const { return impl_->processor.GetPieceSize(); }
int32_t Tokenizer::bos_id() const { return impl_->processor.bos_id(); }
int32_t Tokenizer::eos_id() const { return impl_->processor.eos_id(); }
uint64_t Tokenizer::fingerprint() const { return impl_->fingerprint; }

void check_vocabulary(const Tokenizer& tokenizer, int64_t model_vocab_size) {
  constexpr int64_t kMostPadding = 1024;  // rows that models add for even sizes or tokens of a chat
  const int64_t has = tokenizer.vocab_size();
  const std::string counts = "data.tokenizer: has " + std::to_string(has) + " tokens, the model " +
                             std::to_string(model_vocab_size);
  if (has > model_vocab_size) throw UserError(counts + "; is it the model's own?");
  if (has + kMostPadding < model_vocab_size) log_warn(counts + "; is it the model's own?");
}

}  // namespace lococo
