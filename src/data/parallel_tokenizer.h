// Tokenises documents on several threads and hands them on in the order they came in.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace lococo {

/// Holds a bounded amount of text at a time: add() waits for the oldest documents when there is
/// more. An exception of a worker or of the sink leaves add() or finish().
class ParallelTokenizer {
 public:
  using Sink = std::function<void(const std::string& name, const std::vector<int32_t>& ids)>;

  /// A document becomes [BOS] + ids + [EOS] where asked; `threads` 0: all cores. The sink runs in
  /// the caller's thread. No BOS where the tokenizer has none: the model's texts begin without one
  /// then. Throws UserError when it lacks the EOS that is asked for.
  ParallelTokenizer(const Tokenizer& tokenizer, bool add_bos, bool add_eos, Sink sink,
                    int64_t threads = 0);
  ~ParallelTokenizer();
  ParallelTokenizer(const ParallelTokenizer&) = delete;
  ParallelTokenizer& operator=(const ParallelTokenizer&) = delete;

  void add(const std::string& name, std::string&& text);
  /// Waits for all documents; must be called once, after the last add().
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lococo
