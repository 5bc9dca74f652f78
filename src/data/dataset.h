// Training sequences as a pure function of (seed, global sequence index): no state to save, the
// same for any number of ranks.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "config/data_config.h"
#include "data/token_file.h"

namespace lococo {

struct Sequence {
  std::vector<int64_t>
      tokens;          ///< context_length + 1: inputs are tokens[0..n), targets tokens[1..n]
  int64_t source = 0;  ///< which source it came from
  int64_t begin =
      0;  ///< random_window: index in the source's joined documents; packed: in its endless stream
};

/// A token file and its share of the sequences, relative to the others.
struct WeightedTokenFile {
  std::shared_ptr<const TokenFile> file;
  double weight = 1.0;
};

/// A weighted mix of token files. Documents shorter than min_document_tokens are left out.
///
/// Mix: the weights are rounded to slots of a fixed cycle (10,000 slots up to 999 sources, at least
/// one for each source), in which every source's slots are spread evenly. Global index i falls on
/// slot i mod cycle, and how many sequences a source has served before i follows from a table: so
/// every stretch of sequences has nearly the exact mix, and seeking costs O(1).
///
/// random_window: the k-th sequence of a source starts at hash(seed, source, k), uniform over all
/// starts that leave context_length + 1 tokens in the joined documents (name order).
///
/// packed: a source is an endless stream of epochs; each epoch joins all documents in an order
/// shuffled by (seed, source, epoch). The k-th sequence is tokens [k n, k n + n] of the stream, n =
/// context_length: sequences overlap by one token, so that every token is a target exactly once per
/// epoch (but for the stream's very first, which nothing precedes), and what is left at the end of
/// an epoch continues into the next. Seeking is O(log documents) once an epoch's order is made
/// (O(documents), cached).
class Dataset {
 public:
  /// Throws UserError when there is no source, a weight is not positive, or a source has too few
  /// tokens after min_document_tokens: context_length + 1 for random_window, one for packed.
  Dataset(std::vector<WeightedTokenFile> sources, Sampling sampling, int64_t context_length,
          int64_t min_document_tokens = 0);
  ~Dataset();
  Dataset(Dataset&&) noexcept;
  Dataset& operator=(Dataset&&) noexcept;

  /// May be called from several threads.
  Sequence sequence(uint64_t seed, int64_t global_index) const;

  int64_t num_sources() const;
  const TokenFile& file(int64_t source) const;
  int64_t num_documents(int64_t source) const;  ///< that are drawn from
  int64_t num_left_out(int64_t source) const;   ///< documents below min_document_tokens
  int64_t num_tokens(int64_t source) const;     ///< of the documents that are drawn from: one epoch

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace lococo
