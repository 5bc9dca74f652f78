#include "tokenizer/tokenizer.h"

#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "tokenizer/bpe_tokenizer.h"
#include "tokenizer/sentencepiece_tokenizer.h"

namespace lococo {
namespace {

/// A SentencePiece model never does.
bool begins_with_brace(const std::string& path) {
  char first = 0;
  return InputFile(path).read(&first, 1) == 1 && first == '{';
}

bool is_json(const std::string& path) { return path.ends_with(".json") || begins_with_brace(path); }

}  // namespace

const char* usual_tokenizer_name(const std::string& path) {
  return is_json(path) ? "tokenizer.json" : "tokenizer.model";
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  if (is_folder(path))
    throw UserError(path + ": is a folder; data.tokenizer names a file: " + kWithoutTokenizer);
  if (!path_exists(path)) {
    throw UserError(path +
                    ": no such tokenizer; set data.tokenizer to a tokenizer.model or "
                    "tokenizer.json file");
  }
  if (is_json(path)) return std::make_unique<BpeTokenizer>(path);
  return std::make_unique<SentencePieceTokenizer>(path);
}

std::string foreign_id_message(int32_t id, int64_t vocab_size) {
  return "token id " + std::to_string(id) + " is outside the tokenizer's vocabulary of " +
         std::to_string(vocab_size) + "; is data.tokenizer the model's own?";
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
