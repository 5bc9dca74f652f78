#include "tokenizer/bpe_tokenizer.h"

#include <xxhash.h>

#include <filesystem>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/files.h"
#include "core/json_file.h"
#include "tokenizer/json_place.h"
#include "tokenizer/utf8_text.h"

namespace lococo {

namespace {
constexpr uint64_t kLargestFile = 100'000'000;  // vocabularies of 262,144 tokens take 35 MB
}  // namespace

BpeTokenizer::BpeTokenizer(const std::string& path)
    : BpeTokenizer(path, read_text_file(path, kLargestFile)) {}

BpeTokenizer::BpeTokenizer(const std::string& path, const std::string& text)
    : BpeTokenizer(path, read_tokenizer_json(text, path), XXH64(text.data(), text.size(), 0)) {}

BpeTokenizer::BpeTokenizer(const std::string& path, TokenizerParts parts, uint64_t fingerprint)
    : added_(parts.added),
      pre_tokenizer_(std::move(parts.steps)),
      model_(std::move(parts.vocabulary)),
      decoded_(std::move(parts.decoded)),
      fingerprint_(fingerprint),
      bos_(parts.bos),
      eos_(find_eos(path)) {}

/// What ends a text in pretraining: the names that the families of models have for it come before
/// tokenizer_config.json, which in a model for conversations names the end of a turn.
int32_t BpeTokenizer::find_eos(const std::string& path) const {
  for (const char* const usual : {"<|endoftext|>", "<|end_of_text|>", "</s>"}) {
    if (const auto id = special_id(usual)) return *id;
  }
  const std::string beside =
      (std::filesystem::path(path).parent_path() / "tokenizer_config.json").string();
  if (!path_exists(beside)) return -1;
  const nlohmann::json json = read_json_object(beside);
  JsonPlace token = JsonPlace(json, beside)["eos_token"];
  if (token.is_null()) return -1;
  return special_id(token.is_object() ? token["content"].text() : token.text()).value_or(-1);
}

std::vector<int32_t> BpeTokenizer::encode(const std::string& text, bool ordinary) const {
  constexpr size_t kMostBytes = std::numeric_limits<int32_t>::max() / 3;  // U+FFFD has three
  if (text.size() > kMostBytes) {
    throw UserError("a text of " + std::to_string(text.size()) +
                    " bytes is too long to tokenise at once; split it");
  }
  std::string repaired;
  const std::string* valid = &text;
  if (find_invalid_utf8(text) != std::string::npos) {
    repaired = replace_invalid_utf8(text);
    valid = &repaired;
  }
  std::vector<int32_t> ids;
  const PreTokenizer::Sink word = [&](std::string_view bytes) { model_.encode_word(bytes, &ids); };
  added_.split(
      *valid, ordinary, [&](std::string_view piece) { pre_tokenizer_.split(piece, word); },
      [&](int32_t id) { ids.push_back(id); });
  return ids;
}

std::vector<int32_t> BpeTokenizer::encode(const std::string& text) const {
  return encode(text, /*ordinary=*/false);
}

std::vector<int32_t> BpeTokenizer::encode_ordinary(const std::string& text) const {
  return encode(text, /*ordinary=*/true);
}

std::string BpeTokenizer::decode(const std::vector<int32_t>& ids) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab_size()) throw UserError(foreign_id_message(id, vocab_size()));
    bytes += decoded_[static_cast<size_t>(id)];
  }
  return replace_invalid_utf8(bytes);
}

int64_t BpeTokenizer::vocab_size() const { return static_cast<int64_t>(decoded_.size()); }

std::optional<int32_t> BpeTokenizer::special_id(const std::string& text) const {
  return added_.special_id(text);
}

}  // namespace lococo
