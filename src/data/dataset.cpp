#include "data/dataset.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>

#include "core/error.h"
#include "core/hash.h"
#include "data/mix_cycle.h"
#include "data/recent.h"

namespace lococo {
namespace {

// What a draw is for, so that starts and orders of the same numbers differ.
constexpr uint64_t kWindowDraw = 0x77696E646F77ull;
constexpr uint64_t kOrderDraw = 0x6F72646572ull;

/// Documents one after another: which, and where each begins.
struct Joined {
  std::vector<int64_t> documents;
  std::vector<int64_t> offsets;  // one more than documents

  int64_t num_tokens() const { return offsets.back(); }
};

Joined join(const TokenFile& file, std::vector<int64_t> documents) {
  Joined joined;
  joined.documents = std::move(documents);
  joined.offsets.reserve(joined.documents.size() + 1);
  joined.offsets.push_back(0);
  for (const int64_t document : joined.documents) {
    joined.offsets.push_back(joined.offsets.back() + file.document_length(document));
  }
  return joined;
}

// Tokens [begin, begin + count) of joined documents.
void copy_joined(const TokenFile& file, const Joined& joined, int64_t begin, int64_t count,
                 int64_t* out) {
  const auto after = std::upper_bound(joined.offsets.begin(), joined.offsets.end(), begin);
  auto i = static_cast<size_t>(after - joined.offsets.begin()) - 1;
  for (; count > 0; ++i) {
    const int64_t inside = begin - joined.offsets[i];
    const int64_t n = std::min(count, joined.offsets[i + 1] - begin);
    file.copy(file.document_begin(joined.documents[i]) + inside, n, out);
    begin += n;
    out += n;
    count -= n;
  }
}

/// One source: the documents that pass, in file order, and the orders of the last few epochs.
class Source {
 public:
  Source(std::shared_ptr<const TokenFile> file, int64_t min_document_tokens)
      : file_(std::move(file)) {
    std::vector<int64_t> passing;
    for (int64_t i = 0; i < file_->num_documents(); ++i) {
      if (file_->document_length(i) >= min_document_tokens) passing.push_back(i);
    }
    joined_ = join(*file_, std::move(passing));
  }

  const TokenFile& file() const { return *file_; }
  const Joined& joined() const { return joined_; }

  /// The documents in the order of an epoch. Held while in use, so another thread may replace the
  /// cached one.
  std::shared_ptr<const Joined> epoch(uint64_t key) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return orders_.get(key, [&] {
      return std::make_shared<const Joined>(join(*file_, shuffled(joined_.documents, key)));
    });
  }

 private:
  std::shared_ptr<const TokenFile> file_;
  Joined joined_;
  mutable std::mutex mutex_;
  mutable Recent<uint64_t, std::shared_ptr<const Joined>> orders_;
};

}  // namespace

struct Dataset::Impl {
  Impl(Sampling sampling_kind, int64_t length, const std::vector<double>& weights)
      : sampling(sampling_kind), context_length(length), mix(weights) {}

  Sampling sampling;
  int64_t context_length;
  MixCycle mix;
  std::vector<std::unique_ptr<Source>> sources;

  void check_size(const Source& source, int64_t min_document_tokens) const;
  void random_window(uint64_t seed, int64_t index, Sequence* sequence) const;
  void packed(uint64_t seed, int64_t index, Sequence* sequence) const;
};

void Dataset::Impl::check_size(const Source& source, int64_t min_document_tokens) const {
  const int64_t needed = sampling == Sampling::kRandomWindow ? context_length + 1 : 1;
  const int64_t tokens = source.joined().num_tokens();
  if (tokens >= needed) return;
  const std::string passing = min_document_tokens > 0 ? " in documents of at least " +
                                                            std::to_string(min_document_tokens) +
                                                            " (data.min_document_tokens)"
                                                      : "";
  throw UserError(source.file().path() + ": " + std::to_string(tokens) + " tokens" + passing +
                  ", but a sequence of data.context_length " + std::to_string(context_length) +
                  " needs " + std::to_string(needed) + "; use more text or shorter sequences");
}

void Dataset::Impl::random_window(uint64_t seed, int64_t index, Sequence* sequence) const {
  const Source& source = *sources[static_cast<size_t>(sequence->source)];
  const int64_t starts = source.joined().num_tokens() - context_length;
  const uint64_t hash = hash_u64(seed, kWindowDraw, static_cast<uint64_t>(sequence->source),
                                 static_cast<uint64_t>(index));
  sequence->begin = static_cast<int64_t>(uniform_below(hash, static_cast<uint64_t>(starts)));
  copy_joined(source.file(), source.joined(), sequence->begin, context_length + 1,
              sequence->tokens.data());
}

void Dataset::Impl::packed(uint64_t seed, int64_t index, Sequence* sequence) const {
  const Source& source = *sources[static_cast<size_t>(sequence->source)];
  const int64_t epoch_tokens = source.joined().num_tokens();
  sequence->begin = index * context_length;
  int64_t at = sequence->begin;
  const int64_t end = at + context_length + 1;
  int64_t* out = sequence->tokens.data();
  while (at < end) {
    const int64_t epoch = at / epoch_tokens;
    const int64_t begin = at % epoch_tokens;
    const int64_t n = std::min(end - at, epoch_tokens - begin);
    const auto order = source.epoch(hash_u64(
        seed, kOrderDraw, static_cast<uint64_t>(sequence->source), static_cast<uint64_t>(epoch)));
    copy_joined(source.file(), *order, begin, n, out);
    at += n;
    out += n;
  }
}

Dataset::Dataset(std::vector<WeightedTokenFile> sources, Sampling sampling, int64_t context_length,
                 int64_t min_document_tokens) {
  if (context_length < 1) throw std::logic_error("context_length must be positive");
  if (sources.empty()) throw UserError("data.train: names no source");
  std::vector<double> weights;
  for (const auto& source : sources) {
    if (!(source.weight > 0.0) || !std::isfinite(source.weight)) {
      throw UserError(source.file->path() + ": its weight must be a positive number");
    }
    weights.push_back(source.weight);
  }
  impl_ = std::make_unique<Impl>(sampling, context_length, weights);
  for (auto& source : sources) {
    impl_->sources.push_back(std::make_unique<Source>(std::move(source.file), min_document_tokens));
    impl_->check_size(*impl_->sources.back(), min_document_tokens);
  }
}

Dataset::~Dataset() = default;
Dataset::Dataset(Dataset&&) noexcept = default;
Dataset& Dataset::operator=(Dataset&&) noexcept = default;

Sequence Dataset::sequence(uint64_t seed, int64_t global_index) const {
  const MixCycle::Turn turn = impl_->mix.turn(global_index);
  Sequence sequence;
  sequence.source = turn.source;
  sequence.tokens.resize(static_cast<size_t>(impl_->context_length) + 1);
  if (impl_->sampling == Sampling::kRandomWindow) {
    impl_->random_window(seed, turn.index, &sequence);
  } else {
    impl_->packed(seed, turn.index, &sequence);
  }
  return sequence;
}

int64_t Dataset::num_sources() const { return static_cast<int64_t>(impl_->sources.size()); }

const TokenFile& Dataset::file(int64_t source) const {
  return impl_->sources.at(static_cast<size_t>(source))->file();
}
int64_t Dataset::num_documents(int64_t source) const {
  const auto& joined = impl_->sources.at(static_cast<size_t>(source))->joined();
  return static_cast<int64_t>(joined.documents.size());
}
int64_t Dataset::num_left_out(int64_t source) const {
  return file(source).num_documents() - num_documents(source);
}
int64_t Dataset::num_tokens(int64_t source) const {
  return impl_->sources.at(static_cast<size_t>(source))->joined().num_tokens();
}

}  // namespace lococo
