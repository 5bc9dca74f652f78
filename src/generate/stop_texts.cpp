#include "generate/stop_texts.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace lococo {

void check_stop_texts(const std::vector<std::string>& texts) {
  const auto is_empty = [](const std::string& text) { return text.empty(); };
  if (std::any_of(texts.begin(), texts.end(), is_empty))
    throw UserError("generate.stop: holds an empty text, which would end every answer; remove it");
}

StopTexts::StopTexts(std::vector<std::string> texts) : texts_(std::move(texts)) {
  check_stop_texts(texts_);
}

std::string StopTexts::add(const std::string& piece) {
  if (found_) return "";
  held_ += piece;
  // The text that is complete first counts; of several, the one that has begun first.
  size_t first_end = std::string::npos, shown = 0;
  for (const auto& text : texts_) {
    const size_t begin = held_.find(text);
    if (begin == std::string::npos) continue;
    const size_t end = begin + text.size();
    if (end > first_end || (end == first_end && begin > shown)) continue;
    first_end = end;
    shown = begin;
  }
  found_ = first_end != std::string::npos;
  if (!found_) {
    size_t may_become = 0;
    for (const auto& text : texts_) {
      for (size_t length = std::min(text.size() - 1, held_.size()); length > may_become; --length) {
        if (held_.ends_with(std::string_view(text).substr(0, length))) may_become = length;
      }
    }
    shown = held_.size() - may_become;
  }
  std::string piece_shown = held_.substr(0, shown);
  held_ = found_ ? "" : held_.substr(shown);
  return piece_shown;
}

std::string StopTexts::finish() { return std::exchange(held_, ""); }

}  // namespace lococo
