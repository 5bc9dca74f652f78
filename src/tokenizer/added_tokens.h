// Tokens that are found in a text before anything else: special ones and those added later.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/pattern.h"

namespace lococo {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool single_word = false;  ///< only where no letter or digit stands beside it
  bool lstrip = false;       ///< takes the white space before it along
  bool rstrip = false;       ///< and that behind it
  bool normalized = true;    ///< is looked for after those that are not
  bool special = false;
};

/// Finds added tokens as the PyPI package tokenizers does. May be used by several threads at once.
class AddedTokens {
 public:
  explicit AddedTokens(const std::vector<AddedToken>& tokens);

  /// Calls `text_sink` with each piece of `text` (valid UTF-8) that is no token, and `token_sink`
  /// with the id of each token, in their order. `ordinary`: special tokens are not looked for.
  void split(std::string_view text, bool ordinary,
             const std::function<void(std::string_view)>& text_sink,
             const std::function<void(int32_t)>& token_sink) const;

  std::optional<int32_t> special_id(const std::string& content) const;

 private:
  /// Tokens that are looked for at the same time.
  struct Set {
    std::vector<AddedToken> tokens;      ///< sorted by their content
    std::array<bool, 256> begins_one{};  ///< by the first byte
  };
  struct Found {
    const AddedToken* token;
    Span span;
  };

  static Set make_set(const std::vector<AddedToken>& tokens, bool normalized);
  static std::optional<Found> find(const Set& set, std::string_view text, size_t from);
  std::optional<Span> extent(const Found& found, std::string_view text, size_t done) const;
  void split_by(const Set& set, std::string_view text, bool ordinary,
                const std::function<void(std::string_view)>& text_sink,
                const std::function<void(int32_t)>& token_sink) const;

  Set raw_;
  Set normalized_;
  Pattern word_;
  Pattern space_;
};

}  // namespace lococo
