// Regular expressions of pre-tokenizers; PCRE2 itself appears only in the .cpp.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace lococo {

struct Span {
  size_t begin = 0;  ///< bytes
  size_t end = 0;
};

/// A pattern that may be used by several threads at once.
class Pattern {
 public:
  /// `pattern` as pattern_syntax.h hands it over. Throws UserError for one that is no regular
  /// expression.
  explicit Pattern(const std::string& pattern);
  ~Pattern();
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;

  /// The first match in `text` (valid UTF-8) that begins at `from` or later. Throws UserError when
  /// the search takes more steps than any sensible pattern's.
  std::optional<Span> find(std::string_view text, size_t from) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lococo
