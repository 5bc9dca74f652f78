#include "tokenizer/added_tokens.h"

#include <algorithm>
#include <cstring>

namespace lococo {
namespace {

// What \w and \s are to the package that is followed here.
constexpr const char* kWord = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]";
constexpr const char* kSpace = "\\p{White_Space}";

/// The character that ends where `end` is (at least 1).
std::string_view character_before(std::string_view text, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && (static_cast<uint8_t>(text[begin]) & 0xC0) == 0x80) --begin;
  return text.substr(begin, end - begin);
}

std::string_view character_at(std::string_view text, size_t begin) {
  size_t end = begin + 1;
  while (end < text.size() && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) ++end;
  return text.substr(begin, end - begin);
}

/// Of tokens sorted by content the longest that `text` begins with; null for none. The tokens that
/// share the bytes seen so far are neighbours: [begin, end).
const AddedToken* longest_prefix(const std::vector<AddedToken>& sorted, std::string_view text) {
  const AddedToken* longest = nullptr;
  auto begin = sorted.begin();
  auto end = sorted.end();
  for (size_t depth = 0; begin != end; ++depth) {
    if (begin->content.size() == depth) longest = &*begin++;
    if (depth == text.size()) break;
    const auto byte = static_cast<uint8_t>(text[depth]);
    const auto at_depth = [depth](const AddedToken& token) {
      return static_cast<uint8_t>(token.content[depth]);
    };
    begin = std::partition_point(begin, end, [&](const auto& t) { return at_depth(t) < byte; });
    end = std::partition_point(begin, end, [&](const auto& t) { return at_depth(t) == byte; });
  }
  return longest;
}

}  // namespace

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens)
    : raw_(make_set(tokens, false)),
      normalized_(make_set(tokens, true)),
      word_(kWord),
      space_(kSpace) {}

AddedTokens::Set AddedTokens::make_set(const std::vector<AddedToken>& tokens, bool normalized) {
  Set set;
  for (const AddedToken& token : tokens) {
    if (token.normalized != normalized) continue;
    set.tokens.push_back(token);
    set.begins_one[static_cast<uint8_t>(token.content[0])] = true;
  }
  std::sort(set.tokens.begin(), set.tokens.end(),
            [](const auto& a, const auto& b) { return a.content < b.content; });
  return set;
}

std::optional<int32_t> AddedTokens::special_id(const std::string& content) const {
  for (const Set* set : {&raw_, &normalized_}) {
    for (const AddedToken& token : set->tokens) {
      if (token.special && token.content == content) return token.id;
    }
  }
  return std::nullopt;
}

std::optional<AddedTokens::Found> AddedTokens::find(const Set& set, std::string_view text,
                                                    size_t from) {
  for (size_t at = from; at < text.size(); ++at) {
    if (!set.begins_one[static_cast<uint8_t>(text[at])]) continue;
    const AddedToken* const token = longest_prefix(set.tokens, text.substr(at));
    if (token != nullptr) return Found{token, {at, at + token->content.size()}};
  }
  return std::nullopt;
}

/// What a token found takes of the text, of which everything before `done` is taken; nullopt when
/// it is not alone as it must be.
std::optional<Span> AddedTokens::extent(const Found& found, std::string_view text,
                                        size_t done) const {
  Span span = found.span;
  const auto is = [](const Pattern& pattern, std::string_view character) {
    return pattern.find(character, 0).has_value();
  };
  if (found.token->single_word) {
    const bool after_word = span.begin > 0 && is(word_, character_before(text, span.begin));
    const bool before_word = span.end < text.size() && is(word_, character_at(text, span.end));
    if (after_word || before_word) return std::nullopt;
  }
  if (found.token->lstrip) {
    while (span.begin > done && is(space_, character_before(text, span.begin)))
      span.begin -= character_before(text, span.begin).size();
    span.begin = std::max(span.begin, done);
  }
  if (found.token->rstrip) {
    while (span.end < text.size() && is(space_, character_at(text, span.end)))
      span.end += character_at(text, span.end).size();
  }
  return span;
}

void AddedTokens::split_by(const Set& set, std::string_view text, bool ordinary,
                           const std::function<void(std::string_view)>& text_sink,
                           const std::function<void(int32_t)>& token_sink) const {
  size_t done = 0;
  // A match that does not count still hides others that overlap it.
  for (auto found = find(set, text, 0); found; found = find(set, text, found->span.end)) {
    if (ordinary && found->token->special) continue;
    const auto span = extent(*found, text, done);
    if (!span) continue;
    if (done < span->begin) text_sink(text.substr(done, span->begin - done));
    token_sink(found->token->id);
    done = span->end;
  }
  if (done < text.size()) text_sink(text.substr(done));
}

void AddedTokens::split(std::string_view text, bool ordinary,
                        const std::function<void(std::string_view)>& text_sink,
                        const std::function<void(int32_t)>& token_sink) const {
  const auto between = [&](std::string_view piece) {
    split_by(normalized_, piece, ordinary, text_sink, token_sink);
  };
  split_by(raw_, text, ordinary, between, token_sink);
}

}  // namespace lococo
