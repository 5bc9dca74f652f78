#include "data/parallel_tokenizer.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <new>
#include <thread>

#include "core/error.h"

namespace lococo {
namespace {

// Small documents travel together, so that a thread is not woken for a line of text.
constexpr size_t kBatchBytes = size_t{256} << 10;
// Text in flight for one thread: enough that none waits for the reader.
constexpr size_t kBytesPerThread = size_t{4} << 20;

struct Document {
  std::string name;
  std::string text;
  std::vector<int32_t> ids;
};

struct Batch {
  std::vector<Document> documents;
  size_t bytes = 0;
  bool done = false;
  std::exception_ptr error;
};

}  // namespace

struct ParallelTokenizer::Impl {
  Impl(const Tokenizer& of, bool bos, bool eos, Sink to)
      : tokenizer(of), add_bos(bos), add_eos(eos), sink(std::move(to)) {}

  const Tokenizer& tokenizer;
  bool add_bos;
  bool add_eos;
  Sink sink;
  size_t most_bytes = 0;

  std::unique_ptr<Batch> filling = std::make_unique<Batch>();
  std::deque<std::unique_ptr<Batch>> in_flight;  // in order; of the caller's thread
  size_t bytes_in_flight = 0;

  std::mutex mutex;
  std::condition_variable work_ready;
  std::condition_variable work_done;
  std::deque<Batch*> waiting;
  bool stopping = false;
  std::vector<std::thread> threads;

  std::vector<int32_t> encode(const Document& document) const {
    try {
      return tokenizer.encode(document.text);
    } catch (const std::bad_alloc&) {
      throw UserError(document.name + ": not enough memory to tokenise a document of " +
                      std::to_string(document.text.size()) + " bytes; split it");
    }
  }

  void tokenise(Batch* batch) const {
    for (Document& document : batch->documents) {
      std::vector<int32_t> ids = encode(document);
      document.text = std::string();
      if (add_bos) ids.insert(ids.begin(), tokenizer.bos_id());
      if (add_eos) ids.push_back(tokenizer.eos_id());
      document.ids = std::move(ids);
    }
  }

  void work() {
    std::unique_lock<std::mutex> lock(mutex);
    while (true) {
      work_ready.wait(lock, [this] { return stopping || !waiting.empty(); });
      if (stopping) return;
      Batch* batch = waiting.front();
      waiting.pop_front();
      lock.unlock();
      try {
        tokenise(batch);
      } catch (...) {
        batch->error = std::current_exception();
      }
      lock.lock();
      batch->done = true;
      work_done.notify_one();
    }
  }

  void submit() {
    if (filling->documents.empty()) return;
    bytes_in_flight += filling->bytes;
    in_flight.push_back(std::move(filling));
    filling = std::make_unique<Batch>();
    const std::lock_guard<std::mutex> lock(mutex);
    waiting.push_back(in_flight.back().get());
    work_ready.notify_one();
  }

  void take_oldest() {
    {
      std::unique_lock<std::mutex> lock(mutex);
      work_done.wait(lock, [this] { return in_flight.front()->done; });
    }
    const std::unique_ptr<Batch> batch = std::move(in_flight.front());
    in_flight.pop_front();
    bytes_in_flight -= batch->bytes;
    if (batch->error) std::rethrow_exception(batch->error);
    for (const Document& document : batch->documents) sink(document.name, document.ids);
  }
};

ParallelTokenizer::ParallelTokenizer(const Tokenizer& tokenizer, bool add_bos, bool add_eos,
                                     Sink sink, int64_t threads) {
  if (add_eos && tokenizer.eos_id() < 0) {
    throw UserError("data.add_eos: the tokenizer has no EOS token; set it to false");
  }
  const bool has_bos = tokenizer.bos_id() >= 0;
  impl_ = std::make_unique<Impl>(tokenizer, add_bos && has_bos, add_eos, std::move(sink));
  if (threads <= 0) threads = std::max(1u, std::thread::hardware_concurrency());
  impl_->most_bytes = static_cast<size_t>(threads) * kBytesPerThread;
  for (int64_t i = 0; i < threads; ++i) {
    impl_->threads.emplace_back([this] { impl_->work(); });
  }
}

ParallelTokenizer::~ParallelTokenizer() {
  {
    const std::lock_guard<std::mutex> lock(impl_->mutex);
    impl_->stopping = true;
  }
  impl_->work_ready.notify_all();
  for (std::thread& thread : impl_->threads) thread.join();
}

void ParallelTokenizer::add(const std::string& name, std::string&& text) {
  Impl& s = *impl_;
  s.filling->bytes += sizeof(Document) + name.size() + text.size();
  s.filling->documents.push_back({name, std::move(text), {}});
  if (s.filling->bytes < kBatchBytes) return;
  s.submit();
  while (s.bytes_in_flight > s.most_bytes) s.take_oldest();
}

void ParallelTokenizer::finish() {
  impl_->submit();
  while (!impl_->in_flight.empty()) impl_->take_oldest();
}

}  // namespace lococo
