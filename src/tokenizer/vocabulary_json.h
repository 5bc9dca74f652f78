// The "model" and the "added_tokens" of a tokenizer.json.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe_model.h"
#include "tokenizer/json_place.h"

namespace lococo {

/// The tokens of a model by their text and by their id.
class TokenNames {
 public:
  explicit TokenNames(const JsonPlace& vocab);

  /// -1 for a text that is no token.
  int32_t id(const std::string& text) const;
  size_t count() const { return count_; }
  const std::vector<std::string>& by_id() const { return by_id_; }  ///< "" for an id without one

 private:
  const nlohmann::json::object_t& ids_;
  std::vector<std::string> by_id_;
  size_t count_ = 0;
};

/// Throws UserError for another model than BPE, options that change ids, and merges of what is no
/// token.
BpeVocabulary read_bpe_model(const JsonPlace& model, const TokenNames& names);

/// Throws UserError also for ids other than those that the PyPI package tokenizers gives them,
/// which does not read the ids of the file.
std::vector<AddedToken> read_added_tokens(const JsonPlace& place, const TokenNames& names);

}  // namespace lococo
