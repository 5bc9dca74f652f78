#include "bench/data.h"

#include "bench/timing.h"
#include "core/error.h"
#include "data/documents.h"
#include "data/parallel_tokenizer.h"
#include "data/prepare.h"

namespace lococo {
namespace {

/// Sequences of data.context_length from the mix of sources, as a training run draws them.
BenchCase measure_loader(const Config& config, const Tokenizer* tokenizer) {
  constexpr int64_t kTokensOfASample = 4 << 20;
  const int64_t T = config.data.context_length;
  const int64_t sequences = std::max<int64_t>(1, kTokensOfASample / T);
  const auto dataset = open_dataset(config.data.train, config.data, tokenizer, /*vocab_size=*/0);
  int64_t next = 0;
  const auto seconds = time_each(torch::kCPU, config.bench.warmup, config.bench.repeat, [&] {
    for (int64_t i = 0; i < sequences; ++i) dataset.sequence(config.train.seed, next++);
  });
  const auto spread = spread_of(seconds);
  BenchCase measured;
  measured.parameters = {{"tokens", T}, {"sequences", sequences}};
  measured.add("loader, a sequence", "us", scaled(spread, 1e6 / static_cast<double>(sequences)));
  measured.add("loader, tokens per second", "tokens/s",
               static_cast<double>(sequences * T) / spread.median);
  return measured;
}

/// The first documents of the sources that are text, of `most_bytes` or a little more.
std::vector<std::string> some_texts(const Config& config, const Tokenizer& tokenizer,
                                    size_t most_bytes) {
  std::vector<std::string> texts;
  size_t bytes = 0;
  for (const DataSource& source : config.data.train) {
    for (const DocumentFile& file : plan_source(source, config.data, &tokenizer).files) {
      if (bytes >= most_bytes) return texts;
      for_each_document(file, config.data.text_field, [&](const std::string&, std::string&& text) {
        if (bytes >= most_bytes) return;
        bytes += text.size();
        texts.push_back(std::move(text));
      });
    }
  }
  return texts;
}

BenchCase measure_tokenizer(const Config& config, const Tokenizer& tokenizer,
                            const std::vector<std::string>& texts) {
  int64_t tokens = 0, bytes = 0;
  for (const std::string& text : texts) bytes += static_cast<int64_t>(text.size());
  const auto seconds = time_each(torch::kCPU, config.bench.warmup, config.bench.repeat, [&] {
    tokens = 0;
    ParallelTokenizer parallel(
        tokenizer, config.data.add_bos, config.data.add_eos,
        [&](const std::string&, const std::vector<int32_t>& ids) {
          tokens += static_cast<int64_t>(ids.size());
        },
        config.distributed.threads);
    for (const std::string& text : texts) parallel.add("", std::string(text));
    parallel.finish();
  });
  const auto spread = spread_of(seconds);
  BenchCase measured;
  measured.parameters = {{"documents", static_cast<int64_t>(texts.size())}, {"bytes", bytes}};
  measured.add("tokenizer", "tokens/s", static_cast<double>(tokens) / spread.median);
  measured.add("tokenizer, text", "MB/s", static_cast<double>(bytes) / spread.median / 1e6);
  return measured;
}

}  // namespace

void bench_data(const Config& config, torch::Device, Report& report) {
  constexpr size_t kMostText = 64 << 20;
  if (config.data.train.empty())
    throw UserError("data.train: name the text or token files to read");
  const auto tokenizer = open_tokenizer(config.data, config.model.path);
  report.add(measure_loader(config, tokenizer.get()));
  if (!tokenizer) return;
  const auto texts = some_texts(config, *tokenizer, kMostText);
  if (!texts.empty()) report.add(measure_tokenizer(config, *tokenizer, texts));
}

}  // namespace lococo
