#include "tokenizer/vocabulary_json.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "tokenizer/byte_alphabet.h"

namespace lococo {
namespace {

/// Far above any vocabulary; tables have an entry for every id.
constexpr int64_t kLargestId = (int64_t{1} << 22) - 1;

using Pair = std::pair<std::string, std::string>;

/// "left right" or ["left", "right"]: files of both kinds are about.
Pair read_pair(const JsonPlace& place) {
  if (place.is_string()) {
    const std::string& text = place.text();
    const size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
      place.fail("is no pair of tokens with a space between them");
    return {text.substr(0, space), text.substr(space + 1)};
  }
  const auto two = place.elements();
  if (two.size() != 2) place.fail("is no pair of tokens");
  return {two[0].text(), two[1].text()};
}

Merge read_merge(const JsonPlace& place, const TokenNames& names) {
  const auto [left, right] = read_pair(place);
  const auto id_of = [&](const std::string& text) {
    const int32_t id = names.id(text);
    if (id < 0) place.fail("needs the token \"" + text + "\", which model.vocab lacks");
    return id;
  };
  return {id_of(left), id_of(right), id_of(left + right)};
}

/// Merges are written as texts in all files but the oldest, whose first line is a comment.
std::vector<Merge> read_merges(const JsonPlace& place, const TokenNames& names) {
  std::vector<Merge> merges;
  for (const JsonPlace& merge : place.elements()) {
    if (merge.is_string() && merge.text().starts_with("#version")) continue;
    merges.push_back(read_merge(merge, names));
  }
  return merges;
}

void refuse_options(const JsonPlace& model) {
  const JsonPlace dropout = model["dropout"];
  if (!dropout.is_null() && !dropout.is_zero())
    dropout.refuse(
        "dropout makes the ids of a text random, which is not supported; set it to null");
  for (const char* const name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const JsonPlace affix = model[name];
    if (!affix.is_null() && !affix.text().empty())
      affix.refuse("a " + std::string(name) + " is not supported");
  }
  if (model["byte_fallback"].flag_or(false))
    model["byte_fallback"].refuse("byte_fallback is not supported");
}

AddedToken read_added_token(const JsonPlace& place) {
  AddedToken token;
  token.content = place["content"].text();
  if (token.content.empty()) place.fail("has an empty content");
  token.id = static_cast<int32_t>(place["id"].number(kLargestId));
  token.single_word = place["single_word"].flag();
  token.lstrip = place["lstrip"].flag();
  token.rstrip = place["rstrip"].flag();
  token.normalized = place["normalized"].flag();
  token.special = place["special"].flag();
  return token;
}

}  // namespace

TokenNames::TokenNames(const JsonPlace& vocab) : ids_(vocab.object()), count_(ids_.size()) {
  std::vector<bool> taken;
  for (const auto& [text, json] : ids_) {
    const auto id = static_cast<size_t>(vocab[text.c_str()].number(kLargestId));
    if (by_id_.size() <= id) {
      by_id_.resize(id + 1);
      taken.resize(id + 1);
    }
    if (taken[id]) {
      vocab.fail("gives the id " + std::to_string(id) + " to \"" + by_id_[id] + "\" and to \"" +
                 text + "\"");
    }
    taken[id] = true;
    by_id_[id] = text;
  }
}

int32_t TokenNames::id(const std::string& text) const {
  const auto found = ids_.find(text);
  return found == ids_.end() ? -1 : found->second.get<int32_t>();
}

BpeVocabulary read_bpe_model(const JsonPlace& model, const TokenNames& names) {
  refuse_options(model);
  BpeVocabulary vocabulary;
  vocabulary.ignore_merges = model["ignore_merges"].flag_or(false);
  vocabulary.fuse_unknown = model["fuse_unk"].flag_or(false);
  bool is_byte[256] = {};
  for (const std::string& name : names.by_id()) {
    vocabulary.bytes_of.push_back(bytes_of_token(name).value_or(""));
    const std::string& bytes = vocabulary.bytes_of.back();
    if (bytes.size() == 1) is_byte[static_cast<uint8_t>(bytes[0])] = true;
  }
  const bool all_bytes = std::all_of(is_byte, is_byte + 256, [](bool is) { return is; });
  const JsonPlace unknown = model["unk_token"];
  if (!unknown.is_null() && !all_bytes) {
    vocabulary.unknown = names.id(unknown.text());
    if (vocabulary.unknown < 0) unknown.fail("is no token of model.vocab");
  }
  vocabulary.merges = read_merges(model["merges"], names);
  return vocabulary;
}

std::vector<AddedToken> read_added_tokens(const JsonPlace& place, const TokenNames& names) {
  std::vector<AddedToken> tokens;
  if (place.is_null()) return tokens;
  std::unordered_set<std::string> contents;
  auto next = static_cast<int32_t>(names.count());
  for (const JsonPlace& element : place.elements()) {
    AddedToken token = read_added_token(element);
    if (!contents.insert(token.content).second)
      element.fail("adds \"" + token.content + "\" a second time");
    const int32_t known = names.id(token.content);
    const int32_t expected = known >= 0 ? known : next++;
    if (token.id != expected) {
      element.fail("has the id " + std::to_string(token.id) + ", but \"" + token.content +
                   "\" is token " + std::to_string(expected) +
                   (known >= 0 ? " of model.vocab" : " when counted on from model.vocab"));
    }
    tokens.push_back(std::move(token));
  }
  return tokens;
}

}  // namespace lococo
