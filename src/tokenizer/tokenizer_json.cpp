#include "tokenizer/tokenizer_json.h"

#include "core/json_file.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/json_place.h"
#include "tokenizer/split_steps_json.h"
#include "tokenizer/vocabulary_json.h"

namespace lococo {
namespace {

void check_kind(const JsonPlace& file) {
  const JsonPlace model = file["model"];
  if (model.is_null()) file.fail("has no model");
  // Files of the first versions name no type: theirs is BPE when it has merges.
  const std::string type =
      model["type"].is_null() ? (model.has("merges") ? "BPE" : "unnamed") : model.type();
  if (type != "BPE") model.refuse("the model " + type + " is not supported");
  if (!file["version"].is_null() && file["version"].text() != "1.0")
    file["version"].refuse("the version " + file["version"].text() + " is not known");
  const JsonPlace normalizer = file["normalizer"];
  if (!normalizer.is_null())
    normalizer.refuse("the normalizer " + normalizer.type() + " is not supported");
  const JsonPlace decoder = file["decoder"];
  if (decoder.is_null()) file.refuse("without a decoder ByteLevel, text cannot be made of ids");
  if (decoder.type() != "ByteLevel")
    decoder.refuse("the decoder " + decoder.type() + " is not supported");
}

/// The one id of a special token of a template.
int32_t id_in_template(const JsonPlace& piece, const JsonPlace& special_tokens, size_t vocab) {
  const std::string& name = piece["id"].text();
  const auto ids = special_tokens[name.c_str()]["ids"].elements();
  if (ids.size() != 1) piece.refuse("the special token " + name + " stands for several tokens");
  return static_cast<int32_t>(ids[0].number(static_cast<int64_t>(vocab) - 1));
}

int32_t bos_of_template(const JsonPlace& place, size_t vocab) {
  int32_t bos = -1;
  bool after_text = false;
  for (const JsonPlace& piece : place["single"].elements()) {
    if (piece.has("Sequence")) {
      if (after_text) piece.refuse("a template that repeats the text is not supported");
      after_text = true;
      continue;
    }
    if (!piece.has("SpecialToken")) piece.fail("is neither a Sequence nor a SpecialToken");
    const JsonPlace token = piece["SpecialToken"];
    if (after_text) token.refuse("a template with tokens behind the text is not supported");
    if (bos >= 0) token.refuse("a template with two tokens before the text is not supported");
    bos = id_in_template(token, place["special_tokens"], vocab);
  }
  if (!after_text) place["single"].fail("has no Sequence");
  return bos;
}

/// ByteLevel only concerns places within the text, which nothing here asks for.
int32_t read_bos(const JsonPlace& place, size_t vocab) {
  if (place.is_null() || place.type() == "ByteLevel") return -1;
  if (place.type() == "TemplateProcessing") return bos_of_template(place, vocab);
  if (place.type() != "Sequence")
    place.refuse("the post-processor " + place.type() + " is not supported");
  int32_t bos = -1;
  for (const JsonPlace& inner : place["processors"].elements()) {
    const int32_t of_inner = read_bos(inner, vocab);
    if (of_inner >= 0 && bos >= 0) inner.refuse("a second template is not supported");
    if (of_inner >= 0) bos = of_inner;
  }
  return bos;
}

std::vector<std::string> decoded_tokens(std::vector<std::string> names,
                                        const std::vector<AddedToken>& added) {
  for (const AddedToken& token : added) {
    const auto id = static_cast<size_t>(token.id);
    if (names.size() <= id) names.resize(id + 1);
    names[id] = token.content;
  }
  for (std::string& name : names) name = bytes_of_token(name).value_or(name);
  return names;
}

}  // namespace

TokenizerParts read_tokenizer_json(std::string_view text, const std::string& path) {
  const nlohmann::json json = parse_json(text, path);
  const JsonPlace file(json, path);
  check_kind(file);
  const TokenNames names(file["model"]["vocab"]);
  TokenizerParts parts;
  parts.vocabulary = read_bpe_model(file["model"], names);
  parts.added = read_added_tokens(file["added_tokens"], names);
  parts.steps = read_split_steps(file["pre_tokenizer"]);
  parts.decoded = decoded_tokens(names.by_id(), parts.added);
  if (parts.decoded.empty()) file["model"]["vocab"].fail("is empty");
  parts.bos = read_bos(file["post_processor"], parts.decoded.size());
  return parts;
}

}  // namespace lococo
