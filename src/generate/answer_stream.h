// What a model makes, as it is shown: text or token ids, up to where the answer ends.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "generate/stop_texts.h"
#include "generate/text_stream.h"
#include "tokenizer/tokenizer.h"

namespace lococo {

/// Passes the pieces of one text on to `write`, without the blanks at its beginning.
std::function<void(const std::string&)> without_leading_blanks(
    std::function<void(const std::string&)> write);

/// Takes tokens of one row as they are made and writes what is certain of them. An answer is what
/// comes before the first of the end tokens and before a stop text.
class AnswerStream {
 public:
  using Ids = std::vector<int32_t>;

  /// A null `tokenizer` means token ids with a blank between them, and no stop texts. `before`: the
  /// ids that the answer continues. `write` gets each piece, none of them empty.
  AnswerStream(const Tokenizer* tokenizer, const Ids& before, std::vector<int64_t> end_tokens,
               const std::vector<std::string>& stop_texts,
               std::function<void(const std::string&)> write);

  /// New tokens, int64 [1, n] on the CPU.
  void take(const torch::Tensor& new_1T);
  /// Writes what was held back.
  void finish();

  bool has_ended() const { return ended_ || stops_.found(); }
  bool is_stopped_by_text() const { return stops_.found(); }
  int64_t count() const { return count_; }  ///< tokens before the end token

 private:
  std::string numbers(const Ids& ids) const;
  void put(const std::string& piece) const;

  std::vector<int64_t> end_tokens_;
  StopTexts stops_;
  std::function<void(const std::string&)> write_;
  std::optional<TextStream> text_;
  int64_t count_ = 0;
  bool ended_ = false;
};

}  // namespace lococo
