#include "tokenizer/tokenizer.h"

#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "tokenizer/sentencepiece_tokenizer.h"

namespace lococo {

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  if (is_folder(path))
    throw UserError(path + ": is a folder; data.tokenizer names a file: " + kWithoutTokenizer);
  if (!path_exists(path)) {
    throw UserError(path + ": no such tokenizer; set data.tokenizer to a SentencePiece model file");
  }
  return std::make_unique<SentencePieceTokenizer>(path);
}

void check_vocabulary(const Tokenizer& tokenizer, int64_t model_vocab_size) {
  constexpr int64_t kMostPadding = 1024;  // rows that models add for even sizes or tokens of a chat
  const int64_t has = tokenizer.vocab_size();
  const std::string counts = "data.tokenizer: has " + std::to_string(has) + " tokens, the model " +
                             std::to_string(model_vocab_size);
  if (has > model_vocab_size) throw UserError(counts + "; is it the model's own?");
  if (has + kMostPadding < model_vocab_size) log_warn(counts + "; is it the model's own?");
}

}  // namespace lococo
