#include "generate/answer_stream.h"

#include <algorithm>
#include <utility>

#include "chat/blanks.h"

namespace lococo {

std::function<void(const std::string&)> without_leading_blanks(
    std::function<void(const std::string&)> write) {
  return [write = std::move(write), shown = false](const std::string& piece) mutable {
    const std::string rest = shown ? piece : strip_left(piece);
    shown = shown || !rest.empty();
    if (!rest.empty()) write(rest);
  };
}

AnswerStream::AnswerStream(const Tokenizer* tokenizer, const Ids& before,
                           std::vector<int64_t> end_tokens,
                           const std::vector<std::string>& stop_texts,
                           std::function<void(const std::string&)> write)
    : end_tokens_(std::move(end_tokens)), stops_(stop_texts), write_(std::move(write)) {
  if (tokenizer != nullptr) text_.emplace(*tokenizer, before);
}

void AnswerStream::take(const torch::Tensor& new_1T) {
  if (has_ended()) return;
  const auto ids_T = new_1T[0].to(torch::kInt32).contiguous();
  const int32_t* begin = ids_T.const_data_ptr<int32_t>();
  const int32_t* all = begin + ids_T.numel();
  const int32_t* end = std::find_first_of(begin, all, end_tokens_.begin(), end_tokens_.end());
  ended_ = end != all;
  const Ids ids(begin, end);
  put(text_ ? stops_.add(text_->add(ids)) : numbers(ids));
  count_ += end - begin;
}

void AnswerStream::finish() {
  if (!text_) return;
  put(stops_.add(text_->finish()));
  put(stops_.finish());
}

std::string AnswerStream::numbers(const Ids& ids) const {
  std::string text;
  for (const int32_t id : ids)
    text += (count_ == 0 && text.empty() ? "" : " ") + std::to_string(id);
  return text;
}

void AnswerStream::put(const std::string& piece) const {
  if (!piece.empty()) write_(piece);
}

}  // namespace lococo
